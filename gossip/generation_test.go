package gossip

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryStartGetsALargerGeneration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "starts")
	for want := range uint64(3) {
		got, err := NextGeneration(file)
		if err != nil || got != want+1 {
			t.Fatalf("start %d: %d, %v", want+1, got, err)
		}
	}
	// A crash left the next number half written beside the last one.
	if err := os.WriteFile(file+".next", []byte("9"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := NextGeneration(file); err != nil || got != 4 {
		t.Errorf("after a crash: %d, %v", got, err)
	}
}

func TestADamagedRestartCounterIsNotUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "starts")
	for _, text := range []string{"", "x", "-1", "281474976710656", "99999999999999999999"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := NextGeneration(file); err == nil || !strings.Contains(err.Error(), "delete the file") {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if _, err := NextGeneration(filepath.Join(t.TempDir(), "missing", "starts")); err == nil {
		t.Error("a generation that could not be stored")
	}
}
