package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"balsa/api/wire"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
)

func init() {
	// huma has package variables for both; there is no per-API setting. Lists of
	// ours are never null, and every error is one of our problems.
	huma.DefaultArrayNullable = false
	huma.NewErrorWithContext = problemFromHuma
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return problemFromHuma(nil, status, message, errs...)
	}
}

// Tags group the operations in the document and on the page.
const (
	tagText    = "Text"
	tagBytes   = "Bytes"
	tagMembers = "Members"
	tagCluster = "Cluster"
)

const description = `A replicated key-value store. Every node takes every request; writes and consistent reads are passed on to the leader.

* Errors are ` + "`application/problem+json`" + ` with a stable ` + "`type`" + `. **504 outcome-unknown is not "failed"**: the write may have happened.
* The *revision* of a key is the log index of its last write; it grows with each write, and it is the key's ETag.
* Keys in paths are percent-decoded once and may contain slashes.
* Every response names the node that answered in the header ` + "`" + wire.HeaderNode + "`" + `.`

// newOpenAPI returns the huma API on which the endpoints are registered.
func newOpenAPI(router chi.Router, version string) huma.API {
	config := huma.DefaultConfig("balsa", version)
	config.Info.Description = description
	// A relative URL: the page talks to whichever node served it.
	config.Servers = []*huma.Server{{URL: "/", Description: "this node"}}
	config.Tags = []*huma.Tag{
		{Name: tagText, Description: "Keys and values as JSON strings."},
		{Name: tagBytes, Description: "Values as raw bytes, with compare-and-set through ETags."},
		{Name: tagMembers, Description: "Who is in the cluster, who votes, and who leads."},
		{Name: tagCluster, Description: "What this node knows of its cluster, and how it is."},
	}
	// The hooks would add a $schema member to every body; the document and the
	// page have routes of their own here.
	config.CreateHooks = nil
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	format := huma.Format{Marshal: writeJSON, Unmarshal: json.Unmarshal}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format}
	return huma.NewAPI(config, pathAdapter{router})
}

// pathAdapter connects huma to chi, with one difference to huma's own adapter:
// {key} matches the whole rest of the path, slashes included.
type pathAdapter struct {
	chi.Router
}

// Handle implements huma.Adapter.
func (a pathAdapter) Handle(op *huma.Operation, handle func(huma.Context)) {
	pattern := strings.Replace(op.Path, "{key}", "*", 1)
	a.MethodFunc(op.Method, pattern, func(w http.ResponseWriter, r *http.Request) {
		// huma takes the parameter from here, and decodes it exactly if chi has
		// matched the path in its encoded form.
		r.SetPathValue("key", r.PathValue("*"))
		handle(humachi.NewContext(op, r, w))
	})
}

var jsonBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keptBuffer is the largest buffer that goes back to the pool, so that one
// large value does not stay in memory for ever.
const keptBuffer = 64 << 10

// writeJSON sends v as one write. An error of w means that the client is gone:
// nobody is left to be told.
func writeJSON(w io.Writer, v any) error {
	buffer := jsonBuffers.Get().(*bytes.Buffer)
	buffer.Reset()
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, _ = w.Write(buffer.Bytes())
	if buffer.Cap() <= keptBuffer {
		jsonBuffers.Put(buffer)
	}
	return nil
}

// schemaOf returns a reference to the schema of T, which it adds to the document
// if it is new.
func schemaOf[T any](api huma.API) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// problemResponses describes the errors of an operation, by problem type, for
// its part of the document. Those that every operation has need not be named.
func problemResponses(api huma.API, uris ...string) map[string]*huma.Response {
	schema := schemaOf[problem](api)
	responses := map[string]*huma.Response{}
	for _, uri := range append(uris, wire.WrongHost, wire.Internal) {
		t, ok := wire.LookupProblem(uri)
		if !ok {
			panic("unknown problem type " + uri)
		}
		line := fmt.Sprintf("**%s**: %s", t.Title, t.Explanation)
		status := strconv.Itoa(t.Status)
		if r, ok := responses[status]; ok {
			r.Description += "\n\n" + line
			continue
		}
		example := wire.Problem{Type: t.URI, Title: t.Title, Status: t.Status}
		responses[status] = &huma.Response{Description: line, Content: map[string]*huma.MediaType{
			wire.ProblemContentType: {Schema: schema, Example: example},
		}}
	}
	return responses
}

// requestSchemas are the schemas in the document that clients must keep to.
var requestSchemas = []string{"WriteRequest", "MemberRequest", "TransferRequest"}

// mountDocument serves the OpenAPI document of the operations that are
// registered on api. It is rendered when somebody first asks for it.
func mountDocument(router chi.Router, api huma.API) {
	spec := api.OpenAPI()
	for name, schema := range spec.Components.Schemas.Map() {
		if !slices.Contains(requestSchemas, name) {
			// Answers may gain fields, and clients should be built to bear it.
			schema.AdditionalProperties = nil
		}
	}
	rendered := sync.OnceValue(func() document { return render(spec) })
	serveJSON := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(rendered().json)
	}
	router.Get("/spec", serveJSON)
	router.Get("/spec.json", serveJSON)
	router.Get("/spec.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(rendered().yaml)
	})
}

type document struct {
	json, yaml []byte
}

func render(spec *huma.OpenAPI) document {
	asJSON, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("rendering the OpenAPI document: %v", err))
	}
	asYAML, err := spec.YAML()
	if err != nil {
		panic(fmt.Sprintf("rendering the OpenAPI document: %v", err))
	}
	return document{json: asJSON, yaml: asYAML}
}
