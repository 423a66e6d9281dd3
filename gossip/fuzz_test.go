package gossip

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// FuzzGeneration lets the file that counts the starts hold anything. Either the
// start gets a number and the next one the next number, or both are told to
// delete the file, which is left alone.
func FuzzGeneration(f *testing.F) {
	for _, text := range []string{"7\n", "", "-1", " 12 ", "281474976710655", "007", "18446744073709551616"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "starts")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		first, err := NextGeneration(file)
		if err != nil {
			if left, _ := os.ReadFile(file); string(left) != string(text) {
				t.Errorf("a file with %q was refused and is %q now", text, left)
			}
			return
		}
		before, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if second, err := NextGeneration(file); first != before+1 || first < maxGeneration && (err != nil || second != first+1) {
			t.Errorf("after %q the starts are %d and %d, %v", text, first, second, err)
		}
	})
}
