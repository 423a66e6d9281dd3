package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"balsa/api/client"
	"balsa/raft"
)

// defaultEndpoints are the nodes of balsa demo and of the quick start.
var defaultEndpoints = []string{"http://127.0.0.1:3001", "http://127.0.0.1:3002", "http://127.0.0.1:3003"}

// connection is the flags by which a command finds a cluster.
type connection struct {
	endpoints []string
	timeout   time.Duration
}

const (
	endpointsFlag = "endpoints"
	timeoutFlag   = "timeout"
)

func (c *connection) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&c.endpoints, endpointsFlag, defaultEndpoints, "API `addresses` of some nodes of the cluster, separated by commas")
	flags.DurationVar(&c.timeout, timeoutFlag, 5*time.Second, "how long to try")
}

// open returns a client for all endpoints.
func (c *connection) open(cmd *cobra.Command) (*client.Client, error) {
	return c.openAt(cmd, c.endpoints...)
}

// openAt returns a client for other endpoints, with the same patience.
func (c *connection) openAt(cmd *cobra.Command, endpoints ...string) (*client.Client, error) {
	if c.timeout <= 0 {
		return nil, usageErrorf(cmd, "--timeout %v: it must be more than 0s", c.timeout)
	}
	opened, err := client.New(client.Config{Addresses: endpoints, Timeout: c.timeout})
	if err != nil {
		return nil, usageErrorf(cmd, "--endpoints: %w", err)
	}
	return opened, nil
}

// explain says what to do about an error of the client.
func (c *connection) explain(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Problem != nil || !errors.Is(err, client.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w; the endpoints tried are %s: name those of your cluster with --endpoints, or start one with: balsa demo",
		err, strings.Join(c.endpoints, ", "))
}

// keyCommand is what put, get and del have in common.
type keyCommand struct {
	connection
	output outputFormat
}

func (k *keyCommand) addFlags(cmd *cobra.Command) {
	cmd.GroupID = groupClient
	k.connection.addFlags(cmd.Flags())
	addOutputFlag(cmd.Flags(), &k.output)
	fromEnvironment(cmd, "")
}

// written is the result of put and del.
type written struct {
	Key      string `json:"key"`
	Revision uint64 `json:"revision"`
}

func (k *keyCommand) printWritten(cmd *cobra.Command, key string, revision uint64) error {
	if k.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), written{key, revision})
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "ok, revision %d\n", revision)
	return err
}

// mostFromStdin is more than any node takes, so that what is cut off there is
// refused.
const mostFromStdin = raft.MaxEntryData + 1

func newPut() *cobra.Command {
	var (
		k        keyCommand
		expected *uint64
	)
	cmd := &cobra.Command{
		Use:   "put KEY VALUE",
		Short: "Write a key",
		Long: `Write a key. A value of - is read from stdin.

A write that was sent and not answered is not sent again, because it could then
happen twice: exit code 6 says that nobody knows what became of it.`,
		Example: `  balsa put hello world
  balsa put config - < config.json
  balsa put lock me --if-revision 0`,
		Args: exactly("a key", "a value"),
		RunE: func(cmd *cobra.Command, args []string) error {
			value := []byte(args[1])
			if args[1] == "-" {
				var err error
				if value, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), mostFromStdin)); err != nil {
					return fmt.Errorf("reading the value from stdin: %w", err)
				}
			}
			c, err := k.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			var revision uint64
			if expected != nil {
				revision, err = c.CompareAndSet(cmd.Context(), []byte(args[0]), *expected, value)
			} else {
				revision, err = c.Put(cmd.Context(), []byte(args[0]), value)
			}
			if err != nil {
				return k.explain(err)
			}
			return k.printWritten(cmd, args[0], revision)
		},
	}
	cmd.Flags().Func("if-revision", "write only if the key has this `revision`; 0: only if there is no such key", func(text string) error {
		revision, err := strconv.ParseUint(text, 10, 64)
		expected = &revision
		return err
	})
	k.addFlags(cmd)
	return cmd
}

// readItem is the result of get. A value that is no text is in Base64.
type readItem struct {
	Key      string  `json:"key"`
	Value    *string `json:"value,omitempty"`
	Base64   []byte  `json:"value_base64,omitempty"`
	Revision uint64  `json:"revision"`
	Applied  uint64  `json:"applied_index"`
}

func newGet() *cobra.Command {
	var (
		k            keyCommand
		stale, lease bool
	)
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Read a key",
		Long: `Read a key. What is printed is no older than the last write that anybody had
an answer to, unless --stale allows it to be. With --lease the leader answers
without asking a majority whether it still leads, which is faster, and right
only as long as the clocks of the servers run at about the same speed.

Into a file or a pipe the value is written as it is, byte for byte; on a
terminal a line break follows it.`,
		Args: exactly("a key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if stale && lease {
				return usageErrorf(cmd, "--stale and --lease: choose one")
			}
			c, err := k.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			read := c.Get
			switch {
			case stale:
				read = c.GetStale
			case lease:
				read = c.GetByLease
			}
			item, err := read(cmd.Context(), []byte(args[0]))
			if err != nil {
				return k.explain(notFoundKey(err, args[0]))
			}
			out := cmd.OutOrStdout()
			if k.output == outputJSON {
				result := readItem{Key: args[0], Revision: item.Revision, Applied: item.Applied}
				if utf8.Valid(item.Value) {
					result.Value = new(string(item.Value))
				} else {
					result.Base64 = item.Value
				}
				return printJSON(out, result)
			}
			_, err = out.Write(item.Value)
			if isTerminal(out) {
				fmt.Fprintln(out)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&stale, "stale", false, "read the state of whichever node answers; works without a leader and may be out of date")
	cmd.Flags().BoolVar(&lease, "lease", false, "trust the leader's lease; out of date if a server's clock runs much too fast or stands still")
	k.addFlags(cmd)
	return cmd
}

func newDel() *cobra.Command {
	var k keyCommand
	cmd := &cobra.Command{
		Use:     "del KEY",
		Aliases: []string{"delete"},
		Short:   "Delete a key",
		Long:    "Delete a key. If there is no such key, nothing is done and the exit code is 3.",
		Args:    exactly("a key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.open(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			revision, err := c.Delete(cmd.Context(), []byte(args[0]))
			if err != nil {
				return k.explain(notFoundKey(err, args[0]))
			}
			return k.printWritten(cmd, args[0], revision)
		},
	}
	k.addFlags(cmd)
	return cmd
}

// notFoundKey names the key that there is not.
func notFoundKey(err error, key string) error {
	if errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("%w: %q", client.ErrNotFound, key)
	}
	return err
}
