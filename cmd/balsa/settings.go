package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every flag can also be set by an environment variable, and those of serve by
// a configuration file as well. A flag on the command line counts most, then
// the environment, then the file, then the default.

const envPrefix = "BALSA_"

// sharedFlags mean the same in every command that has them, and have one
// variable whatever the scope.
var sharedFlags = []string{endpointsFlag, timeoutFlag, outputFlag}

// envName returns the variable of a flag: BALSA_RPC_ADDR for --rpc-addr, or
// BALSA_DEMO_NODES for --nodes with the scope "demo".
func envName(scope, flag string) string {
	if scope != "" && !slices.Contains(sharedFlags, flag) {
		flag = scope + "-" + flag
	}
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// configFlag names the flag of a command that is the path of its configuration
// file.
const configFlag = "config"

// fromEnvironment makes every flag of a command settable by the environment,
// and by the file of its --config flag if it has one, and says so in its help.
// The scope keeps the variables of commands apart whose flags mean different
// things. It is called when all flags are there.
func fromEnvironment(cmd *cobra.Command, scope string) {
	var flags []*pflag.Flag
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		f.Usage += " [$" + envName(scope, f.Name) + "]"
		flags = append(flags, f)
	})
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		given := map[*pflag.Flag]bool{}
		cmd.Flags().Visit(func(f *pflag.Flag) { given[f] = true })
		if err := readEnvironment(flags, scope, given); err != nil {
			return usageErrorf(cmd, "%w", err)
		}
		if f := cmd.Flags().Lookup(configFlag); f != nil && f.Value.String() != "" {
			if err := readFile(cmd.Flags(), f.Value.String(), given); err != nil {
				return usageErrorf(cmd, "%w", err)
			}
		}
		return nil
	}
}

// readEnvironment sets the flags that are not given yet and have a variable. An
// empty variable counts as none, because many tools pass on variables that they
// do not have.
func readEnvironment(flags []*pflag.Flag, scope string, given map[*pflag.Flag]bool) error {
	for _, f := range flags {
		name := envName(scope, f.Name)
		value := os.Getenv(name)
		if value == "" || given[f] {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			return fmt.Errorf("$%s is %q: %w", name, value, err)
		}
		given[f] = true
	}
	return nil
}

// readFile sets the flags that are not given yet and have a key in the file.
func readFile(flags *pflag.FlagSet, path string, given map[*pflag.Flag]bool) error {
	var keys map[string]any
	if _, err := toml.DecodeFile(path, &keys); err != nil {
		if syntax, ok := errors.AsType[toml.ParseError](err); ok {
			return fmt.Errorf("--config %s, line %d: %s", path, syntax.Position.Line, syntax.Message)
		}
		return fmt.Errorf("--config: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		f := flags.Lookup(key)
		if f == nil || f.Name == configFlag || f.Name == "help" {
			return fmt.Errorf("--config %s: there is no setting %q: the keys are the names of the flags, without the dashes in front", path, key)
		}
		if given[f] {
			continue
		}
		if err := setFromFile(f, keys[key]); err != nil {
			return fmt.Errorf("--config %s: %s: %w", path, key, err)
		}
	}
	return nil
}

func setFromFile(f *pflag.Flag, value any) error {
	switch value := value.(type) {
	case map[string]any, []map[string]any:
		return errors.New("is a table: write it as name = value")
	case []any:
		for _, item := range value {
			if err := f.Value.Set(fmt.Sprint(item)); err != nil {
				return err
			}
		}
		return nil
	}
	return f.Value.Set(fmt.Sprint(value))
}
