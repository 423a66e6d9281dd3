package api

import (
	"context"
	"net/http"

	"balsa/api/wire"
	"balsa/kv"

	"github.com/danielgtaylor/huma/v2"
)

const octetStream = "application/octet-stream"

type getInput struct {
	Key         string `path:"key" doc:"The key; any bytes, percent-encoded. It may contain slashes." example:"hello"`
	Consistency string `query:"consistency" enum:"linearizable,lease,stale" default:"linearizable" doc:"linearizable: as new as the last acknowledged write. lease: the same and faster, as long as the clocks of the servers run at about the same speed. stale: the local state, at once."`
	IfMatch     string `header:"If-Match" doc:"Answer 412 unless the key has one of these revisions, each in quotes."`
	IfNoneMatch string `header:"If-None-Match" doc:"Answer 304 without the value if the key still has one of these revisions, each in quotes."`
}

type getOutput struct {
	Status       int
	ContentType  string `header:"Content-Type" hidden:"true"`
	ETag         string `header:"ETag" doc:"The revision of the key in quotes."`
	AppliedIndex uint64 `header:"Balsa-Applied-Index" doc:"How far the state that answered had come."`
	Leader       string `header:"Balsa-Leader" doc:"The ID of the leader that this node knows, if it knows one."`
	Body         []byte
}

type putInput struct {
	Key         string `path:"key" doc:"The key; any bytes, percent-encoded. It may contain slashes." example:"hello"`
	IfMatch     string `header:"If-Match" doc:"Write only if the key has this revision, in quotes: \"12\"."`
	IfNoneMatch string `header:"If-None-Match" doc:"With *: write only if the key does not exist."`
	RawBody     []byte `contentType:"application/octet-stream"`
}

type deleteInput struct {
	Key     string `path:"key" doc:"The key; any bytes, percent-encoded. It may contain slashes." example:"hello"`
	IfMatch string `header:"If-Match" doc:"Delete only if the key has this revision, in quotes: \"12\"."`
}

type putOutput struct {
	ETag string `header:"ETag" doc:"The new revision in quotes."`
	Body wire.Revision
}

type deleteOutput struct {
	Body wire.Revision
}

// registerRaw adds the endpoints for bytes and for compare-and-set.
func (d *door) registerRaw(api huma.API) {
	bytesOf := func(description string) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{octetStream: {Schema: &huma.Schema{
			Type: huma.TypeString, Format: "binary", Description: description,
		}}}
	}

	// None of these has huma check its parameters: the store looks at the key,
	// and the handlers at the rest.
	get := huma.Operation{
		OperationID: "get",
		Method:      http.MethodGet,
		Path:        "/api/kv/{key}",
		Tags:        []string{tagBytes},
		Summary:     "Get a value",
		Description: "Returns the bytes of a value, with the revision of the key as ETag. HEAD works too.\n\n" +
			"With `consistency=lease` the leader answers by its lease, without asking a majority whether it still leads. " +
			"That is safe only while no server's clock runs much faster than another's and none stands still, as that of a suspended virtual machine does; " +
			"otherwise the answer may be stale without saying so. Without a lease it is like `linearizable`, which assumes nothing about clocks.",
		SkipValidateParams: true,
		Responses: problemResponses(api, wire.KeyNotFound, wire.PreconditionFailed, wire.TooLarge, wire.InvalidRequest,
			wire.Busy, wire.NoQuorum, wire.NotAMember, wire.Stopping),
	}
	get.Responses["200"] = &huma.Response{Description: "The value.", Content: bytesOf("The value as it was written.")}
	get.Responses["304"] = &huma.Response{Description: "The key still has a revision that If-None-Match names."}
	huma.Register(api, get, d.get)

	writeProblems := []string{wire.MalformedRequest, wire.CrossOrigin, wire.RequestTimeout, wire.PreconditionFailed, wire.TooLarge,
		wire.InvalidRequest, wire.Busy, wire.NotUnderstood, wire.NoLeader, wire.NotAMember, wire.Stopping, wire.OutcomeUnknown}
	put := huma.Operation{
		OperationID: "put",
		Method:      http.MethodPut,
		Path:        "/api/kv/{key}",
		Tags:        []string{tagBytes},
		Summary:     "Put a value",
		Description: "Writes the body, whatever its Content-Type, as the value of the key; an empty body is an empty value. " +
			"With If-Match or If-None-Match it is a compare-and-set, which answers 412 if the key is not as expected.",
		RequestBody:        &huma.RequestBody{Description: "The value."},
		MaxBodyBytes:       d.config.maxRawBody() + 1,
		SkipValidateParams: true,
		Responses:          problemResponses(api, writeProblems...),
	}
	huma.Register(api, put, d.put)
	put.RequestBody.Required = false // huma takes every raw body for required

	huma.Register(api, huma.Operation{
		OperationID:        "delete",
		Method:             http.MethodDelete,
		Path:               "/api/kv/{key}",
		Tags:               []string{tagBytes},
		Summary:            "Delete a key",
		Description:        "Removes a key. Answers 404 if there was none, and 412 if it was not as If-Match expected.",
		SkipValidateParams: true,
		Responses:          problemResponses(api, append(writeProblems, wire.KeyNotFound)...),
	}, d.delete)
}

func (d *door) get(ctx context.Context, in *getInput) (*getOutput, error) {
	item, found, err := d.lookUp(ctx, in)
	if err != nil {
		return nil, d.readFailed(err)
	}
	if !found {
		return nil, keyNotFound(in.Key, item)
	}
	if in.IfMatch != "" && !matchesAny(in.IfMatch, item.Revision) {
		p := newProblem(wire.PreconditionFailed, "If-Match names another revision than the key has")
		p.Revision = &item.Revision
		return nil, p
	}
	out := &getOutput{
		Status:       http.StatusOK,
		ETag:         etag(item.Revision),
		AppliedIndex: item.Applied,
		Leader:       d.leader(),
	}
	if in.IfNoneMatch != "" && matchesAny(in.IfNoneMatch, item.Revision) {
		out.Status = http.StatusNotModified
		return out, nil
	}
	out.ContentType, out.Body = octetStream, item.Value
	return out, nil
}

func (d *door) lookUp(ctx context.Context, in *getInput) (kv.Item, bool, error) {
	key := []byte(in.Key)
	if in.Consistency == "stale" {
		return d.config.Store.Get(key)
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	switch in.Consistency {
	case "lease":
		return d.config.Store.LeaseGet(ctx, key)
	case "linearizable":
		return d.config.Store.LinearizableGet(ctx, key)
	}
	return kv.Item{}, false, newProblem(wire.InvalidRequest, "consistency is linearizable, lease or stale, not "+clip(in.Consistency))
}

func (d *door) put(ctx context.Context, in *putInput) (*putOutput, error) {
	required, err := writePrecondition(in.IfMatch, in.IfNoneMatch)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	var result kv.Result
	if required.set {
		result, err = d.config.Store.CompareAndSet(ctx, []byte(in.Key), required.revision, in.RawBody)
	} else {
		result, err = d.config.Store.Put(ctx, []byte(in.Key), in.RawBody)
	}
	if err != nil {
		return nil, d.writeFailed(err)
	}
	return &putOutput{ETag: etag(result.Revision), Body: wire.Revision{Revision: result.Revision}}, nil
}

func (d *door) delete(ctx context.Context, in *deleteInput) (*deleteOutput, error) {
	required, err := writePrecondition(in.IfMatch, "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	var result kv.Result
	if required.set {
		result, err = d.config.Store.CompareAndDelete(ctx, []byte(in.Key), required.revision)
	} else {
		result, err = d.config.Store.Delete(ctx, []byte(in.Key))
	}
	if err != nil {
		return nil, d.writeFailed(err)
	}
	if !result.Existed {
		return nil, newProblem(wire.KeyNotFound, "there was no key "+clip(in.Key)+" to delete")
	}
	return &deleteOutput{Body: wire.Revision{Revision: result.Revision}}, nil
}
