package logstore

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// Some tests need another process. They start this program again, with one of
// these variables set to the directory of a store.
const (
	// holdDirVariable makes the process hold the store open until its input
	// ends.
	holdDirVariable = "LOGSTORE_TEST_HOLD"
	// failDirVariable makes it write to the store while one kind of operation,
	// named by failOnVariable, fails.
	failDirVariable = "LOGSTORE_TEST_FAIL"
	failOnVariable  = "LOGSTORE_TEST_FAIL_ON"
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(holdDirVariable) != "":
		err = holdStore(os.Getenv(holdDirVariable))
	case os.Getenv(failDirVariable) != "":
		err = writeWhileFailing(os.Getenv(failDirVariable), os.Getenv(failOnVariable))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	os.Exit(0)
}

func holdStore(dir string) error {
	s, err := Open(dir, Options{NodeID: 1})
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // an end of the input is as good
	return s.Close()
}

func writeWhileFailing(dir, on string) error {
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !broken.Load() || !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		switch {
		case on == "sync" && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData):
			return syscall.EIO
		case on == "rotation" && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite):
			return syscall.ENOSPC
		}
		return nil
	}))
	s, err := Open(dir, Options{NodeID: 1, FS: fs})
	if err != nil {
		return err
	}
	broken.Store(true)
	for i := raft.Index(1); i < 1000; i++ {
		e := command(1, i, strings.Repeat("x", 10<<10))
		if err := s.Save([]raft.Write{write(e)}); err != nil {
			return err
		}
	}
	return nil
}
