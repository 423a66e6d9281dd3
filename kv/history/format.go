package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	formatName    = "balsa-history"
	formatVersion = 1
)

// Limits of what [Read] accepts.
const (
	// MaxLine is the length of the longest line, in bytes.
	MaxLine = 8 << 20
	// MaxLines is the number of operations and events in one history.
	MaxLines = 4 << 20
)

// ErrFormat is wrapped by every error of [Read] that is about the contents of
// the file and not about reading it.
var ErrFormat = errors.New("not a history of this format")

type header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// line is an operation or an event.
type line struct {
	Op    *Operation `json:"op,omitempty"`
	Event *Event     `json:"event,omitempty"`
}

// Write stores a history in the format that the package comment describes. It
// fails if w does, or if the history is not one that [Read] would accept.
func Write(w io.Writer, h History) error {
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(header{Format: formatName, Version: formatVersion}); err != nil {
		return err
	}
	for i := range h.Operations {
		if err := h.Operations[i].validate(); err != nil {
			return fmt.Errorf("history: operation %d: %w", i, err)
		}
		if err := encoder.Encode(line{Op: &h.Operations[i]}); err != nil {
			return err
		}
	}
	for i := range h.Events {
		if err := h.Events[i].validate(); err != nil {
			return fmt.Errorf("history: event %d: %w", i, err)
		}
		if err := encoder.Encode(line{Event: &h.Events[i]}); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// Read loads a history. It refuses everything that the format does not allow,
// saying in which line, and needs no more memory than a small multiple of what
// it has read.
func Read(r io.Reader) (History, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, MaxLine)
	var h History
	number := 0
	for scanner.Scan() {
		number++
		var err error
		if number == 1 {
			err = readHeader(scanner.Bytes())
		} else {
			err = h.readLine(scanner.Bytes())
		}
		if err == nil && number > MaxLines {
			err = fmt.Errorf("more than %d lines", MaxLines)
		}
		if err != nil {
			return History{}, fmt.Errorf("history: line %d: %w: %w", number, ErrFormat, err)
		}
	}
	if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
		return History{}, fmt.Errorf("history: line %d: %w: longer than %d bytes", number+1, ErrFormat, MaxLine)
	} else if err != nil {
		return History{}, fmt.Errorf("history: line %d: %w", number+1, err)
	}
	if number == 0 {
		return History{}, fmt.Errorf("history: %w: the file is empty", ErrFormat)
	}
	return h, nil
}

func readHeader(b []byte) error {
	var h header
	if err := decode(b, &h); err != nil {
		return err
	}
	if h.Format != formatName {
		return fmt.Errorf("the format is %q, want %q", h.Format, formatName)
	}
	if h.Version != formatVersion {
		return fmt.Errorf("version %d, and this program knows %d", h.Version, formatVersion)
	}
	return nil
}

func (h *History) readLine(b []byte) error {
	var l line
	if err := decode(b, &l); err != nil {
		return err
	}
	switch {
	case l.Op != nil && l.Event == nil:
		h.Operations = append(h.Operations, *l.Op)
		return l.Op.validate()
	case l.Event != nil && l.Op == nil:
		h.Events = append(h.Events, *l.Event)
		return l.Event.validate()
	}
	return errors.New("neither one operation nor one event")
}

// decode decodes exactly one JSON value and knows all of its fields.
func decode(b []byte, into any) error {
	if !utf8.Valid(b) {
		return errors.New("not valid UTF-8") // which the JSON decoder would replace
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the end of the JSON value")
	}
	return nil
}

// Text is a key or a value: any bytes. In JSON it is a string if it is valid
// UTF-8, which keeps histories readable, and base64 otherwise, which keeps two
// different values different.
type Text string

type base64Text struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements [json.Marshaler].
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(base64Text{Base64: []byte(t)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Text) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return errors.New("null in place of a string")
	}
	if b[0] != '{' {
		var s string
		err := json.Unmarshal(b, &s)
		*t = Text(s)
		return err
	}
	var encoded base64Text
	if err := decode(b, &encoded); err != nil {
		return err
	}
	if utf8.Valid(encoded.Base64) {
		return errors.New("base64 in place of a plain string")
	}
	*t = Text(encoded.Base64)
	return nil
}
