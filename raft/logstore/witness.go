package logstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// The durability witness is a file of its own beside the log's directory. It has
// two slots, which are written in turn, so that a write that a crash interrupts
// spoils only the older one. The newest slot that can be read counts.
//
// A slot says who the log belongs to, the term and the vote, and which entry the
// log ends with. It is written when the log is durable already, except when it
// goes back, after a truncation or a reset: then it is written before. So a crash
// never leaves a witness that is ahead of its log. Pebble opens a log whose end is
// damaged or missing as if the last crash had cut it there; a witness that is
// ahead of the log proves that it was something else. See raft/recovering.go for
// what follows from that.
//
// For term and vote the same holds, and more: whichever of log and witness has the
// newer ones is right.
const (
	slotSize    = 4 << 10 // no two slots share a block of the disk
	slotMagic   = "balsawit"
	slotVersion = 1
	slotLength  = len(slotMagic) + 4 + 8 + 40 + 17 + 16 + 8 + checksumSize
)

// lazyEntries is how many entries a lazy witness may trail the log by.
const lazyEntries = 1000

// testimony is what a witness says.
type testimony struct {
	identity Identity
	hard     raft.HardState
	// last is the last raft.Write.Witness. It is the entry that the log ends with,
	// unless the server is recovering.
	last raft.EntryID
	// damaged is the index of the first entry that was found damaged; zero: none.
	damaged raft.Index
}

// older reports whether a log that ends with a is less up-to-date than one that
// ends with b (§5.4.1).
func older(a, b raft.EntryID) bool {
	return a.Term < b.Term || a.Term == b.Term && a.Index < b.Index
}

// witness is the open file. Its methods may be called by several goroutines.
type witness struct {
	fs    vfs.FS
	name  string
	lazy  bool
	syncs atomic.Uint64

	// mu guards what there is to say, and is held for a moment only. The log can go
	// on while the disk is busy with the witness.
	mu sync.Mutex
	// known is what the log has made durable.
	known testimony
	// inLog says that known.last is the entry that the log ends with, as the log
	// itself shows.
	inLog bool

	// writing guards the file and what it says.
	writing sync.Mutex
	file    vfs.File // nil: there is no file yet, or none that is worth keeping
	// sequence is the number of the newest slot. It is in slot sequence mod 2.
	sequence uint64
	// said is what the newest slot says.
	said testimony
	// torn says that the older slot cannot be read, which is what a crash may leave.
	torn bool
	slot [slotSize]byte
}

var (
	errNoWitness         = errors.New("is missing")
	errUnreadableWitness = errors.New("is damaged: neither of its two slots can be read")
)

// openWitness opens the file and reads it. It fails with errNoWitness or
// errUnreadableWitness if that is so. With an error it returns a witness, too, but
// one without a file.
func openWitness(files vfs.FS, name string, lazy bool) (*witness, error) {
	w := &witness{fs: files, name: name, lazy: lazy}
	if _, err := files.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return w, errNoWitness // OpenReadWrite would create it
	} else if err != nil {
		return w, err
	}
	file, err := files.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return w, err
	}
	readable := 0
	for i := range int64(2) {
		if _, err := file.ReadAt(w.slot[:], i*slotSize); err != nil && !errors.Is(err, io.EOF) {
			continue // the other slot may do
		}
		if sequence, said, ok := decodeSlot(w.slot[:]); ok && sequence%2 == uint64(i) {
			readable++
			if sequence > w.sequence {
				w.sequence, w.said = sequence, said
			}
		}
	}
	if readable == 0 {
		return w, cmp.Or(file.Close(), errUnreadableWitness)
	}
	w.file, w.known, w.torn = file, w.said, readable < 2
	return w, nil
}

// create makes the file, in which both slots say the same. Until it returns, a
// crash may leave a part of it. The caller holds writing.
func (w *witness) create(t testimony) error {
	file, err := w.fs.Create(w.name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	both := make([]byte, 2*slotSize)
	encodeSlot(both[:slotSize], 2, t)
	encodeSlot(both[slotSize:], 1, t)
	_, err = file.Write(both)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	dir, err := w.fs.OpenDir(w.fs.PathDir(w.name))
	if err != nil {
		return err
	}
	if err = errors.Join(dir.Sync(), dir.Close()); err != nil {
		return err
	}
	if w.file, err = w.fs.OpenReadWrite(w.name, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	w.sequence, w.said = 2, t
	w.syncs.Add(1)
	return nil
}

// write makes the older slot say t, durably. The caller holds writing.
func (w *witness) write(t testimony) error {
	if w.file == nil {
		return w.create(t)
	}
	next := w.sequence + 1
	encodeSlot(w.slot[:], next, t)
	if _, err := w.file.WriteAt(w.slot[:], int64(next%2)*slotSize); err != nil {
		return err
	}
	if err := w.file.SyncData(); err != nil {
		return err
	}
	w.sequence, w.said, w.torn = next, t, false
	w.syncs.Add(1)
	return nil
}

// current returns what is known, written or not.
func (w *witness) current() (known testimony, inLog bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known, w.inLog
}

// remember takes note of what the log has made durable. What is known about damage
// stays.
func (w *witness) remember(t testimony, inLog bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.damaged = w.known.damaged
	w.known, w.inLog = t, inLog
}

// retreat is called before the log is made to end with last. If that is a step
// back, the witness takes it first; nothing else in it changes before the log has.
func (w *witness) retreat(last raft.EntryID) error {
	w.mu.Lock()
	if older(last, w.known.last) {
		w.known.last, w.inLog = last, false
	}
	known := w.known
	w.mu.Unlock()

	w.writing.Lock()
	defer w.writing.Unlock()
	if !older(last, w.said.last) {
		return nil
	}
	return w.write(known)
}

// attest makes the witness say what is known. A lazy one puts off to say that the
// log has grown a little: the log shows that itself.
func (w *witness) attest() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	known, inLog := w.current()
	grown := w.said
	grown.last = known.last
	if w.lazy && inLog && known == grown &&
		known.last.Term == w.said.last.Term && known.last.Index < w.said.last.Index+lazyEntries {
		return nil
	}
	return w.flush(known)
}

// flush makes the newest slot say t, unless it does. The caller holds writing.
func (w *witness) flush(t testimony) error {
	if t == w.said && w.file != nil && !w.torn {
		return nil
	}
	return w.write(t)
}

// setDamaged makes the witness say from which index on the log is damaged.
func (w *witness) setDamaged(i raft.Index) error {
	w.mu.Lock()
	w.known.damaged = i
	w.mu.Unlock()
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.file == nil {
		return nil // a witness that was missing is not made anew for this
	}
	known, _ := w.current()
	return w.flush(known)
}

// close writes what a lazy witness has put off, and closes the file.
func (w *witness) close() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.file == nil {
		return nil
	}
	var err error
	if known, _ := w.current(); w.lazy {
		err = w.flush(known)
	}
	return errors.Join(err, w.file.Close())
}

// abandon closes the file as it is, after an error.
func (w *witness) abandon() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}

func encodeSlot(slot []byte, sequence uint64, t testimony) {
	clear(slot)
	b := append(slot[:0], slotMagic...)
	b = binary.LittleEndian.AppendUint32(b, slotVersion)
	b = binary.LittleEndian.AppendUint64(b, sequence)
	b = append(b, encodeIdentity(t.identity)...)
	b = append(b, encodeHardState(t.hard)...)
	b = append(b, encodeEntryID(t.last)...)
	binary.LittleEndian.AppendUint64(b, uint64(t.damaged))
	sealSlot(slot)
}

// sealSlot puts the checksum at the end of what a slot says.
func sealSlot(slot []byte) {
	said := slot[:slotLength-checksumSize]
	binary.LittleEndian.PutUint32(slot[len(said):], crc32.Checksum(said, castagnoli))
}

// decodeSlot reports whether the slot can be read.
func decodeSlot(slot []byte) (sequence uint64, t testimony, ok bool) {
	b := slot[:slotLength]
	payload, sum := b[:slotLength-checksumSize], b[slotLength-checksumSize:]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return 0, testimony{}, false
	}
	rest, ok := bytes.CutPrefix(payload, []byte(slotMagic))
	if !ok || binary.LittleEndian.Uint32(rest) != slotVersion {
		return 0, testimony{}, false
	}
	sequence, rest = binary.LittleEndian.Uint64(rest[4:]), rest[12:]
	var errs [3]error
	t.identity, errs[0] = decodeIdentity(rest[:40])
	t.hard, errs[1] = decodeHardState(rest[40:57])
	t.last, errs[2] = decodeEntryID(rest[57:73])
	t.damaged = raft.Index(binary.LittleEndian.Uint64(rest[73:]))
	return sequence, t, errors.Join(errs[:]...) == nil
}

// witnessName returns where the witness of the log in a directory is: beside it,
// so that whatever happens to the directory does not happen to the witness.
func witnessName(dir string) string { return dir + ".witness" }

// A WitnessError means that log and witness do not show what this node has
// promised to others. The node must not take part in its cluster any more.
type WitnessError struct {
	// Dir is the directory of the log, File its witness.
	Dir, File string
	// Problem says what is wrong with the file, as the end of a sentence.
	Problem string
}

func (e *WitnessError) Error() string {
	return fmt.Sprintf("the witness %q of the log in %q %s. If it was moved or left behind, put it back where it belongs. "+
		"Otherwise nobody knows whether this log is complete: wipe the node's data directory and let it rejoin the cluster "+
		"under a new id, or, if no other server has the data, make a new cluster of it with \"balsa recover\"",
		e.File, e.Dir, e.Problem)
}
