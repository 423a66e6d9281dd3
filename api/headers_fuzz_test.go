package api

import (
	"encoding/json"
	"strings"
	"testing"

	"balsa/api/wire"
)

// FuzzPrecondition: a condition that is accepted is exactly one revision, or that
// there is no such key, and never both or something near it.
func FuzzPrecondition(f *testing.F) {
	for _, seed := range [][2]string{{`"12"`, ""}, {"", "*"}, {` "1" `, ""}, {`W/"1"`, ""}, {`"0"`, ""}, {`"01"`, ""}, {`"1", "2"`, ""}, {"*", "*"}, {"", `"1"`}} {
		f.Add(seed[0], seed[1], uint64(1))
	}
	f.Fuzz(func(t *testing.T, ifMatch, ifNoneMatch string, revision uint64) {
		p, err := writePrecondition(ifMatch, ifNoneMatch)
		switch {
		case err != nil:
		case p.set != (ifMatch != "" || ifNoneMatch != ""):
			t.Errorf("%q and %q are the condition %+v", ifMatch, ifNoneMatch, p)
		case p.revision != 0 && etag(p.revision) != strings.TrimSpace(ifMatch):
			t.Errorf("%q is taken for revision %d", ifMatch, p.revision)
		case p.set && p.revision == 0 && strings.TrimSpace(ifNoneMatch) != "*":
			t.Errorf("%q and %q demand that there is no such key", ifMatch, ifNoneMatch)
		}
		if got, ok := parseETag(etag(revision)); !ok || got != revision {
			t.Errorf("the tag of revision %d is read as that of %d, %v", revision, got, ok)
		}
		if !matchesAny(ifNoneMatch+","+etag(revision), revision) {
			t.Errorf("the tag of revision %d is not found after %q", revision, ifNoneMatch)
		}
	})
}

// FuzzMembership: what a request to change members or the leader has to say comes
// through as it is, or is refused.
func FuzzMembership(f *testing.F) {
	for _, body := range []string{
		`{"id":4,"voter":true}`, `{"id":4,"rpc_addr":"[::1]:21004","instance_id":"9f0b4c9e-54d4-4f5a-8a55-0a7f6d3f0c04"}`,
		`{"id":0}`, `{"id":4,"rpc_addr":"x"}`, `{"id":4,"instance_id":"9f0b"}`, `{"to":2}`, `{}`, ``, `{"id":4} x`, `{"ID":4,"id":5}`,
	} {
		f.Add([]byte(body), "application/json")
	}
	f.Add([]byte(`{"id":4}`), "text/plain")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		in := &changeInput{ContentType: contentType, RawBody: body}
		if request, err := decodeMember(in); err == nil {
			if request.ID == 0 || request.InstanceID != "" && !isUUID(request.InstanceID) || request.RPCAddr != "" && !isAddress(request.RPCAddr) {
				t.Errorf("%q is accepted as %+v", body, request)
			}
			again := decodedAgain(t, request)
			if again.ID != request.ID || again.RPCAddr != request.RPCAddr || again.InstanceID != request.InstanceID {
				t.Errorf("%+v comes back as %+v", request, again)
			}
		}
		_, _ = decodeTransfer(in) // must not panic
	})
}

func decodedAgain(t *testing.T, request wire.MemberRequest) wire.MemberRequest {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeMember(&changeInput{RawBody: body})
	if err != nil {
		t.Errorf("%s is refused: %v", body, err)
	}
	return again
}
