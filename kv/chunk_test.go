package kv

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"balsa/raft/node"
)

// chunkOf makes a chunk of records with these keys.
func chunkOf(offset uint64, keys ...string) node.Chunk {
	data := beginChunk(nil)
	for _, key := range keys {
		record := make([]byte, valueHeader+len(key))
		putValue(record, []byte(key), 1, []byte(key))
		data = appendRecord(data, []byte(key), record)
	}
	sealChunk(data, offset)
	return node.Chunk{Offset: offset, Data: data}
}

// readAll returns the keys of a chunk.
func readAll(c node.Chunk) (keys []string, err error) {
	r, err := openChunk(c)
	for err == nil {
		var key []byte
		if key, _, err = r.next(); key == nil {
			break
		}
		keys = append(keys, string(key))
	}
	return keys, err
}

// Trap 62.
func TestAnyChangeOfAChunkIsNoticed(t *testing.T) {
	c := chunkOf(1234, "ka", "kb", "mapplied")
	if keys, err := readAll(c); err != nil || len(keys) != 3 {
		t.Fatalf("unchanged: %q, %v", keys, err)
	}
	for i := range c.Data {
		for bit := range 8 {
			damaged := bytes.Clone(c.Data)
			damaged[i] ^= 1 << bit
			_, err := readAll(node.Chunk{Offset: c.Offset, Data: damaged})
			wantError(t, err, ErrCorrupt)
		}
	}
	for n := range c.Data {
		_, err := readAll(node.Chunk{Offset: c.Offset, Data: c.Data[:n]})
		wantError(t, err, ErrCorrupt)
	}
	_, err := readAll(node.Chunk{Offset: c.Offset + 1, Data: c.Data})
	wantError(t, err, ErrCorrupt)
}

// A checksum proves that nobody has changed the chunk, not that it was right.
func TestAChunkThatNoSourceMakesIsRefused(t *testing.T) {
	cutRecord := chunkOf(0, "ka", "kb")
	cutRecord.Data = cutRecord.Data[:len(cutRecord.Data)-1]
	cutHeader := chunkOf(0, "ka")
	cutHeader.Data = append(cutHeader.Data, 1, 0, 0)
	endless := chunkOf(0, "ka")
	binary.LittleEndian.PutUint32(endless.Data[chunkHeader+2:], 1<<32-1)
	unsealed := chunkOf(0, "ka")
	unsealed.Data[len(unsealed.Data)-1] ^= 1
	for name, c := range map[string]node.Chunk{
		"descending keys":  chunkOf(0, "kb", "ka"),
		"a key twice":      chunkOf(0, "ka", "ka"),
		"an empty key":     chunkOf(0, ""),
		"a local key":      chunkOf(0, string(identityKey)),
		"beyond the range": chunkOf(0, "\xff"),
		"an endless key":   chunkOf(0, string(bytes.Repeat([]byte("k"), node.MaxPosition+1))),
		"a cut record":     cutRecord,
		"a cut header":     cutHeader,
		"an endless one":   endless,
		"a damaged record": unsealed,
	} {
		sealChunk(c.Data, 0)
		if keys, err := readAll(c); err == nil {
			t.Errorf("%s: accepted as %q", name, keys)
		} else {
			wantError(t, err, ErrCorrupt)
		}
	}
	_, err := readAll(node.Chunk{Data: make([]byte, node.MaxChunk+1)})
	wantError(t, err, ErrCorrupt)
}

// FuzzChunk looks for bytes that the reader accepts and that are not what a
// source would have made of the records in them.
func FuzzChunk(f *testing.F) {
	f.Add(chunkOf(0).Data, uint64(0))
	f.Add(chunkOf(5, "ka", "kb", "mapplied").Data, uint64(5))
	f.Fuzz(func(t *testing.T, data []byte, offset uint64) {
		readAll(node.Chunk{Offset: offset, Data: data}) // must not panic
		if len(data) < chunkHeader {
			return
		}
		data = bytes.Clone(data)
		sealChunk(data, offset) // so that most inputs come past the checksum
		r, err := openChunk(node.Chunk{Offset: offset, Data: data})
		again := beginChunk(nil)
		for err == nil {
			var key, record []byte
			if key, record, err = r.next(); key == nil {
				break
			}
			again = appendRecord(again, key, record)
		}
		sealChunk(again, offset)
		if err == nil && !bytes.Equal(again, data) {
			t.Errorf("%x was accepted, and is made again as %x", data, again)
		}
	})
}

func testProgress() progress {
	l := logBuilder{term: 1}
	l.configuration(3)
	c, err := openConfiguration(encodeConfiguration(1, l.entries[0].Data))
	if err != nil {
		panic(err)
	}
	p := progress{tables: []uint64{5, 1 << 40}, position: node.Position{Offset: 77, After: []byte("ka")}}
	p.id[3] = 9
	p.snapshot.Last.Index, p.snapshot.Last.Term, p.snapshot.Configuration = 5, 2, c
	return p
}

func TestProgressSurvivesTheDisk(t *testing.T) {
	want := testProgress().encode()
	p, err := decodeProgress(want)
	if err != nil || !bytes.Equal(p.encode(), want) || p.position.Offset != 77 || p.tables[1] != 1<<40 {
		t.Errorf("%+v, %v", p, err)
	}
	for i := range want {
		damaged := bytes.Clone(want)
		damaged[i] ^= byte(1 + rand.IntN(255))
		_, err := decodeProgress(damaged)
		wantError(t, err, errProgress)
		_, err = decodeProgress(want[:i])
		wantError(t, err, errProgress)
	}
}

// FuzzProgress looks for bytes that the decoder accepts and the encoder does not
// make.
func FuzzProgress(f *testing.F) {
	f.Add(testProgress().encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= 4 {
			data = bytes.Clone(data)
			binary.LittleEndian.PutUint32(data, crc32.Checksum(data[4:], castagnoli))
		}
		if p, err := decodeProgress(data); err == nil && !bytes.Equal(p.encode(), data) {
			t.Errorf("%x was accepted, and is encoded as %x", data, p.encode())
		}
	})
}
