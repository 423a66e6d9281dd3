package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"balsa/api/wire"
)

// acceptsAsJSON reports whether a body of this type is read as JSON. A form is
// what curl -d claims to send if it is not told otherwise, whatever it sends;
// the body decides.
func acceptsAsJSON(contentType string) bool {
	if contentType == "" || contentType == "application/json" {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json") ||
		mediaType == "application/x-www-form-urlencoded"
}

// decodeWrite reads the body of POST /api/write. What it returns may alias the
// body.
func decodeWrite(body []byte) (key, value []byte, err error) {
	if key, value, ok := decodePlainWrite(body); ok {
		return key, value, nil
	}
	return decodeStrictWrite(body)
}

// decodePlainWrite reads the body that nearly every request has: an object of
// the two strings, neither with an escape. It looks at each byte once and
// allocates nothing, which makes it ten times as fast as encoding/json. Of any
// other body, right or wrong, it says nothing but that it is not this one.
func decodePlainWrite(body []byte) (key, value []byte, ok bool) {
	rest, ok := cutToken(body, '{')
	if !ok {
		return nil, nil, false
	}
	for i := range 2 {
		if i == 1 {
			if rest, ok = cutToken(rest, ','); !ok {
				return nil, nil, false
			}
		}
		var name, content []byte
		if name, rest, ok = cutPlainString(rest); !ok {
			return nil, nil, false
		}
		if rest, ok = cutToken(rest, ':'); !ok {
			return nil, nil, false
		}
		if content, rest, ok = cutPlainString(rest); !ok {
			return nil, nil, false
		}
		switch {
		case string(name) == "key" && key == nil:
			key = content
		case string(name) == "value" && value == nil:
			value = content
		default:
			return nil, nil, false
		}
	}
	if rest, ok = cutToken(rest, '}'); !ok || len(skipSpace(rest)) > 0 {
		return nil, nil, false
	}
	return key, value, len(key) > 0 && utf8.Valid(key) && utf8.Valid(value)
}

// cutToken removes white space and then the given character from the front.
func cutToken(text []byte, token byte) ([]byte, bool) {
	text = skipSpace(text)
	if len(text) == 0 || text[0] != token {
		return nil, false
	}
	return text[1:], true
}

func skipSpace(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t' || text[0] == '\r' || text[0] == '\n') {
		text = text[1:]
	}
	return text
}

// cutPlainString removes white space and then a JSON string without escapes
// from the front, and returns its content, which is never nil.
func cutPlainString(text []byte) (content, rest []byte, ok bool) {
	text, ok = cutToken(text, '"')
	if !ok {
		return nil, nil, false
	}
	end := bytes.IndexByte(text, '"')
	if end < 0 {
		return nil, nil, false
	}
	for _, c := range text[:end] {
		if c < ' ' || c == '\\' {
			return nil, nil, false
		}
	}
	return text[:end:end], text[end+1:], true
}

// decodeStrictWrite is for every other body.
func decodeStrictWrite(body []byte) (key, value []byte, err error) {
	var request struct {
		Key   *string `json:"key"`
		Value *string `json:"value"`
	}
	const want = `; want {"key":"...","value":"..."}`
	if !utf8.Valid(body) { // decodeStrict would say so, but not where such bytes can go
		return nil, nil, newProblem(wire.MalformedRequest, "the body is not valid UTF-8; PUT /api/kv/{key} takes any bytes")
	}
	if err := decodeStrict(body, &request, want); err != nil {
		return nil, nil, err
	}
	switch {
	case request.Key == nil:
		return nil, nil, newProblem(wire.InvalidRequest, `"key" is missing`+want)
	case request.Value == nil:
		return nil, nil, newProblem(wire.InvalidRequest, `"value" is missing`+want+` (an empty value is "")`)
	case *request.Key == "":
		return nil, nil, newProblem(wire.InvalidRequest, "the key is empty")
	}
	return []byte(*request.Key), []byte(*request.Value), nil
}

// decodeStrict reads a JSON document into v, which is a pointer to a struct. It
// is stricter than encoding/json: what that package would quietly replace or
// ignore (bytes that are no UTF-8, half a surrogate pair, an unknown field, a
// second document) is an error, so that what is done is what was meant. Errors
// end with want, which says what the document should look like.
func decodeStrict(body []byte, v any, want string) error {
	if !utf8.Valid(body) {
		return newProblem(wire.MalformedRequest, "the body is not valid UTF-8")
	}
	if hasLoneSurrogate(body) {
		return newProblem(wire.MalformedRequest, `the body has half a surrogate pair (\ud800 to \udfff), which is no character`)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return decodeProblem(err, want)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return newProblem(wire.MalformedRequest, "the body goes on after the JSON document")
	}
	return nil
}

// decodeProblem tells a body that is no JSON (400) from JSON that says the
// wrong thing (422).
func decodeProblem(err error, want string) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		where := "the body"
		if e.Field != "" {
			where = strconv.Quote(e.Field)
		}
		return newProblem(wire.InvalidRequest, fmt.Sprintf("%s is of the wrong type: got %s%s", where, e.Value, want))
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return newProblem(wire.InvalidRequest, fmt.Sprintf("unknown field %s%s", clip(strings.Trim(field, `"`)), want))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return newProblem(wire.MalformedRequest, "the body ends within the JSON document"+want)
	}
	return newProblem(wire.MalformedRequest, fmt.Sprintf("the body is no JSON: %v%s", err, want))
}

// hasLoneSurrogate reports whether a JSON text escapes half of a UTF-16
// surrogate pair without the other half. encoding/json would store U+FFFD
// instead and say nothing.
func hasLoneSurrogate(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 >= len(text) {
			return false
		}
		if text[i+1] != 'u' {
			text = text[i+2:]
			continue
		}
		unit, rest := escapedUnit(text[i:])
		switch {
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return true
		case unit >= 0xD800 && unit <= 0xDBFF:
			low, after := escapedUnit(rest)
			if low < 0xDC00 || low > 0xDFFF {
				return true
			}
			rest = after
		}
		text = rest
	}
}

// escapedUnit reads one \uXXXX at the start of text and returns what follows
// it. If there is none, the unit is -1.
func escapedUnit(text []byte) (unit int, rest []byte) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1, text[min(len(text), 2):]
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1, text[2:]
	}
	return int(n), text[6:]
}
