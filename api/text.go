package api

import (
	"context"
	"net/http"
	"strconv"
	"unicode/utf8"

	"balsa/api/wire"
	"balsa/kv"

	"github.com/danielgtaylor/huma/v2"
)

type writeInput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/json"`
}

type writeOutput struct {
	Body wire.WriteResult
}

type readInput struct {
	Key string `path:"key" doc:"The key; it may contain slashes." example:"hello"`
}

type readOutput struct {
	AppliedIndex uint64 `header:"Balsa-Applied-Index" doc:"The same as applied_index."`
	Leader       string `header:"Balsa-Leader" doc:"The ID of the leader that this node knows, if it knows one."`
	Body         wire.ReadResult
}

// registerText adds the endpoints that speak JSON.
func (d *door) registerText(api huma.API) {
	write := huma.Operation{
		OperationID: "write",
		Method:      http.MethodPost,
		Path:        "/api/write",
		Tags:        []string{tagText},
		Summary:     "Write a key",
		Description: "Writes a key on any node and returns its new revision once a majority holds it. " +
			"Unknown fields are refused. The body is read as JSON also when it comes without a Content-Type or with the one that `curl -d` sends by itself.",
		RequestBody:      &huma.RequestBody{Description: "The key and its value.", Required: true},
		SkipValidateBody: true, // decodeWrite checks more than the schema can say
		MaxBodyBytes:     d.config.maxJSONBody() + 1,
		Responses: problemResponses(api, wire.MalformedRequest, wire.CrossOrigin, wire.RequestTimeout, wire.TooLarge, wire.UnsupportedMediaType,
			wire.InvalidRequest, wire.Busy, wire.NotUnderstood, wire.NoLeader, wire.NotAMember, wire.Stopping, wire.OutcomeUnknown),
	}
	huma.Register(api, write, d.write)
	// The handler takes the body as it is and decodes it itself; the document
	// says what it decodes.
	write.RequestBody.Content["application/json"].Schema = schemaOf[wire.WriteRequest](api)

	readProblems := []string{wire.KeyNotFound, wire.NotText, wire.TooLarge, wire.InvalidRequest, wire.NotAMember, wire.Stopping}
	huma.Register(api, huma.Operation{
		OperationID: "read",
		Method:      http.MethodGet,
		Path:        "/api/read/{key}",
		Tags:        []string{tagText},
		Summary:     "Read a key from this node",
		Description: "Answers at once from the local state, whether or not a leader can be reached. " +
			"The answer may be stale; `applied_index` says how far the state had come.",
		SkipValidateParams: true, // the store looks at the key itself
		Responses:          problemResponses(api, readProblems...),
	}, d.read)
	huma.Register(api, huma.Operation{
		OperationID:        "consistent-read",
		Method:             http.MethodGet,
		Path:               "/api/consistent_read/{key}",
		Tags:               []string{tagText},
		Summary:            "Read a key, linearizable",
		Description:        "Returns a value no older than the last write that anybody had an answer to when this request came in.",
		SkipValidateParams: true,
		Responses:          problemResponses(api, append(readProblems, wire.Busy, wire.NoQuorum)...),
	}, d.consistentRead)
}

func (d *door) write(ctx context.Context, in *writeInput) (*writeOutput, error) {
	if !acceptsAsJSON(in.ContentType) {
		return nil, newProblem(wire.UnsupportedMediaType, "the body must be JSON, not "+clip(in.ContentType))
	}
	key, value, err := decodeWrite(in.RawBody)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	result, err := d.config.Store.Put(ctx, key, value)
	if err != nil {
		return nil, d.writeFailed(err)
	}
	return &writeOutput{Body: wire.WriteResult{Key: string(key), Revision: result.Revision}}, nil
}

func (d *door) read(_ context.Context, in *readInput) (*readOutput, error) {
	item, found, err := d.config.Store.Get([]byte(in.Key))
	return d.text(in.Key, item, found, err)
}

func (d *door) consistentRead(ctx context.Context, in *readInput) (*readOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	item, found, err := d.config.Store.LinearizableGet(ctx, []byte(in.Key))
	return d.text(in.Key, item, found, err)
}

// text answers a read with JSON, if JSON can say it.
func (d *door) text(key string, item kv.Item, found bool, err error) (*readOutput, error) {
	if err != nil {
		return nil, d.readFailed(err)
	}
	if !found {
		return nil, keyNotFound(key, item)
	}
	if !utf8.ValidString(key) || !utf8.Valid(item.Value) {
		return nil, newProblem(wire.NotText, "the key or its value is not valid UTF-8; GET /api/kv/{key} returns the bytes")
	}
	return &readOutput{
		AppliedIndex: item.Applied,
		Leader:       d.leader(),
		Body: wire.ReadResult{
			Key:          key,
			Value:        string(item.Value),
			Revision:     item.Revision,
			AppliedIndex: item.Applied,
		},
	}, nil
}

// keyNotFound also says how fresh the state is that lacks the key.
func keyNotFound(key string, item kv.Item) *problem {
	p := newProblem(wire.KeyNotFound, "there is no key "+clip(key))
	p.headers.Set(wire.HeaderAppliedIndex, strconv.FormatUint(item.Applied, 10))
	return p
}
