package api

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// The plain decoder must know the bodies that clients really send.
func TestThePlainDecoderKnowsTheCommonBodies(t *testing.T) {
	for _, body := range []string{
		`{"key":"hello","value":"world"}`,
		`{"value":"world","key":"hello"}`,
		" { \"key\" : \"hello\" ,\r\n\t\"value\" : \"world\" } \n",
	} {
		key, value, ok := decodePlainWrite([]byte(body))
		if !ok || string(key) != "hello" || string(value) != "world" {
			t.Errorf("%s: %q, %q, %v", body, key, value, ok)
		}
	}
	for _, body := range []string{``, `{}`, `{"key":"k"}`, `{"key":"k","key":"l"}`, `{"key":"","value":""}`, `{"key":"k","value":"v","x":"y"}`,
		`{"key":"a\u0062","value":""}`, `{"key":"k","value":1}`, `{"Key":"k","value":"v"}`, `{"key":"k","value":"v"} x`, `{"key":"k","value":"v"`} {
		if _, _, ok := decodePlainWrite([]byte(body)); ok {
			t.Errorf("%s: taken for plain", body)
		}
	}
}

// Whatever the plain decoder accepts, the strict one must read in the same way,
// and whatever any of them accepts must be text.
func FuzzDecodeWrite(f *testing.F) {
	for _, seed := range []string{
		`{"key":"hello","value":"world"}`, `{"value":"","key":"k"}`, ` { "key" : "k" , "value" : "v" } `,
		`{"key":"k","value":"a\nb"}`, `{"key":"k","value":"\ud83d\udc22"}`, `{"key":"k","value":"\ud83d"}`, `{"key":"k","value":"\u12"}`,
		`{"key":"k","value":"v"}{}`, `{"key":"\"","value":"\\"}`, "{\"key\":\"\xff\",\"value\":\"\"}", `{"KEY":"k","value":"v"}`, `[`, `{"key":"k","value":"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		plainKey, plainValue, plain := decodePlainWrite(body)
		key, value, err := decodeStrictWrite(body)
		if plain && (err != nil || !bytes.Equal(key, plainKey) || !bytes.Equal(value, plainValue)) {
			t.Errorf("plain: %q, %q; strict: %q, %q, %v", plainKey, plainValue, key, value, err)
		}
		if err == nil && (len(key) == 0 || !utf8.Valid(key) || !utf8.Valid(value)) {
			t.Errorf("accepted %q, %q", key, value)
		}
		if !bytes.Equal(body, before) {
			t.Error("the body was changed")
		}
	})
}
