package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// FuzzConfigFile: a configuration file sets flags to what their own values are
// when they are written out again, or is refused with a line that names it.
func FuzzConfigFile(f *testing.F) {
	for _, text := range []string{
		"id = 1\nrpc-addr = \"127.0.0.1:21001\"\n",
		"seed-gossip-addrs = [\"a:1\", \"b:2\"]\nmax-value-size = \"2MiB\"\n",
		"heartbeat = \"50ms\"\nautopilot = false\nlog-tail = 10\n",
		"nonsense = 1\n", "id = -1\n", "[id]\nx = 1\n", "id = \n", "config = \"x\"\n", "heartbeat = 1.5\n", "\xff",
		"id = [1, 2]\n", "id = 1979-05-27T07:32:00Z\n", "log-level = \"loud\"\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "balsa.toml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		flags := newServe().Flags()
		given := map[*pflag.Flag]bool{}
		if err := readFile(flags, path, given); err != nil {
			if !strings.HasPrefix(err.Error(), "--config") {
				t.Errorf("%q: the error does not say where: %v", text, err)
			}
			return
		}
		flags.VisitAll(func(flag *pflag.Flag) {
			written := flag.Value.String()
			if _, list := flag.Value.(pflag.SliceValue); list {
				return // written out in brackets, and read without
			}
			if err := flag.Value.Set(written); err != nil || flag.Value.String() != written {
				t.Errorf("%q: --%s is %q, which is read as %q, %v", text, flag.Name, written, flag.Value, err)
			}
		})
	})
}

// FuzzByteSize: a size that is accepted is written in a form that means the same.
func FuzzByteSize(f *testing.F) {
	for _, text := range []string{"0", "17B", "4KiB", "2 MiB", "1GiB", "-1", "1.5MiB", "99999999999999999999", "1023GiB", "+1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b, again byteSize
		if b.Set(text) != nil {
			return
		}
		if err := again.Set(b.String()); err != nil || again != b || b < 0 {
			t.Errorf("%q is %d, written as %q, which is %d, %v", text, int(b), b.String(), int(again), err)
		}
	})
}
