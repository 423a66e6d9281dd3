package gossip

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// NextGeneration counts the starts of a server in a file of its data directory
// and returns the number of this one, from 1, for Config.Generation. The number
// is on the disk when it returns, so no later start gets it again. It must be
// called once per start, by the process that has the data directory to itself.
// If the file cannot be read as a number, the error says to delete it; nothing
// is lost thereby but a few seconds, see Config.Generation.
func NextGeneration(file string) (uint64, error) {
	var last uint64
	text, err := os.ReadFile(file)
	if err == nil {
		last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || last >= maxGeneration {
			return 0, fmt.Errorf("gossip: the restart counter in %s is %.40q, which it cannot be: delete the file and start again", file, text)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("gossip: the restart counter: %w", err)
	}
	if err := replaceFile(file, strconv.FormatUint(last+1, 10)+"\n"); err != nil {
		return 0, fmt.Errorf("gossip: the restart counter: %w", err)
	}
	return last + 1, nil
}

// replaceFile writes a file so that after a crash there is the old one or the
// new one.
func replaceFile(file, text string) error {
	next := file + ".next"
	f, err := os.Create(next)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
