package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"balsa/api/wire"

	"github.com/danielgtaylor/huma/v2"
)

type membersOutput struct {
	Body wire.Membership
}

// changeInput takes the body as it is: see [decodeStrict].
type changeInput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/json"`
}

type removeInput struct {
	ID uint64 `path:"id" minimum:"1" doc:"The ID of the member." example:"4"`
}

type setOutput struct {
	Status int
	Body   wire.MemberResult
}

type removeOutput struct {
	Body wire.MemberResult
}

type transferOutput struct {
	Body wire.TransferResult
}

// maxChangeBody is the longest body that these endpoints read. What they take
// fits into a tenth of it.
const maxChangeBody = 4 << 10

// registerMembers adds the endpoints that change who is in the cluster and who
// leads it.
func (d *door) registerMembers(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "members",
		Method:      http.MethodGet,
		Path:        "/api/members",
		Tags:        []string{tagMembers},
		Summary:     "Show the members",
		Description: "The part of `/api/cluster` that is about members. Ask the leader to see how far each of them is, and what is about to become of it.",
		Responses:   problemResponses(api, wire.Stopping),
	}, d.members)

	problems := func(more ...string) map[string]*huma.Response {
		return problemResponses(api, append(more, wire.MalformedRequest, wire.CrossOrigin, wire.NoSuchMember, wire.RequestTimeout, wire.ChangePending,
			wire.InvalidRequest, wire.ImpossibleChange, wire.Busy, wire.NoLeader, wire.NotAMember, wire.Stopping, wire.OutcomeUnknown)...)
	}
	set := huma.Operation{
		OperationID: "set-member",
		Method:      http.MethodPost,
		Path:        "/api/members",
		Tags:        []string{tagMembers},
		Summary:     "Add a server, promote or demote a member",
		Description: "A new server becomes a learner; gossip must see it alive, unless the request says where it is. " +
			"A member becomes a voter, or a learner that stays one. Answers 200 when that is committed, and 202 if the server has to catch up before it can vote: the message says what will happen.",
		RequestBody:      &huma.RequestBody{Description: "What the server is to be.", Required: true},
		SkipValidateBody: true, // decodeMember checks more than the schema can say
		MaxBodyBytes:     maxChangeBody + 1,
		Responses: problems(wire.ConfigurationChanged, wire.NotCaughtUp, wire.NoLiveMajority,
			wire.TooLarge, wire.UnsupportedMediaType),
	}
	result := map[string]*huma.MediaType{"application/json": {Schema: schemaOf[wire.MemberResult](api)}}
	set.Responses["200"] = &huma.Response{Description: "Done.", Content: result}
	set.Responses["202"] = &huma.Response{Description: "Begun: the server has to catch up before it can vote.", Content: result}
	huma.Register(api, set, d.setMember)
	set.RequestBody.Content["application/json"].Schema = schemaOf[wire.MemberRequest](api)

	huma.Register(api, huma.Operation{
		OperationID: "remove-member",
		Method:      http.MethodDelete,
		Path:        "/api/members/{id}",
		Tags:        []string{tagMembers},
		Summary:     "Remove a member",
		Description: "Removes a member for good: with the data directory that it has it can never come back. " +
			"A leader hands over leadership first. A node that is asked to remove itself does so, and leaves.",
		Responses: problems(wire.ConfigurationChanged, wire.NoLiveMajority, wire.TransferFailed),
	}, d.removeMember)

	transfer := huma.Operation{
		OperationID:      "transfer",
		Method:           http.MethodPost,
		Path:             "/api/leader",
		Tags:             []string{tagMembers},
		Summary:          "Hand over leadership",
		Description:      "Makes another voter the leader: the one that `to` names, or else the one whose log is longest. Writes wait meanwhile, for about as long as two messages take.",
		RequestBody:      &huma.RequestBody{Description: "Who is to lead."},
		SkipValidateBody: true, // decodeTransfer does
		MaxBodyBytes:     maxChangeBody + 1,
		Responses:        problems(wire.NotCaughtUp, wire.TransferFailed, wire.TooLarge, wire.UnsupportedMediaType),
	}
	huma.Register(api, transfer, d.transfer)
	transfer.RequestBody.Required = false // huma takes every raw body for required
	transfer.RequestBody.Content["application/json"].Schema = schemaOf[wire.TransferRequest](api)
}

func (d *door) members(ctx context.Context, _ *struct{}) (*membersOutput, error) {
	s, err := d.status(ctx)
	if err != nil {
		return nil, err
	}
	return &membersOutput{Body: wire.Membership{
		NodeID: s.NodeID, LeaderID: s.LeaderID, Voters: s.Voters, Learners: s.Learners,
		ConfigurationIndex: s.ConfigurationIndex, Change: s.Change, TransferTo: s.TransferTo, Members: s.Members,
	}}, nil
}

func (d *door) setMember(ctx context.Context, in *changeInput) (*setOutput, error) {
	request, err := decodeMember(in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	result, err := d.config.Cluster.SetMember(ctx, request)
	if err != nil {
		return nil, d.changeFailed(err)
	}
	out := &setOutput{Status: http.StatusOK, Body: result}
	if !result.Done {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

func (d *door) removeMember(ctx context.Context, in *removeInput) (*removeOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	result, err := d.config.Cluster.RemoveMember(ctx, in.ID)
	if err != nil {
		return nil, d.changeFailed(err)
	}
	return &removeOutput{Body: result}, nil
}

func (d *door) transfer(ctx context.Context, in *changeInput) (*transferOutput, error) {
	request, err := decodeTransfer(in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	leader, err := d.config.Cluster.TransferLeadership(ctx, request.To)
	if err != nil {
		return nil, d.changeFailed(err)
	}
	return &transferOutput{Body: wire.TransferResult{LeaderID: leader}}, nil
}

const wantMember = `; want {"id":4,"voter":true}`

// decodeMember reads the body of POST /api/members.
func decodeMember(in *changeInput) (wire.MemberRequest, error) {
	var request wire.MemberRequest
	if err := decodeChange(in, &request, wantMember); err != nil {
		return request, err
	}
	if request.ID == 0 {
		return request, newProblem(wire.InvalidRequest, `"id" is missing or 0`+wantMember)
	}
	if a := request.RPCAddr; a != "" && !isAddress(a) {
		return request, newProblem(wire.InvalidRequest, fmt.Sprintf(`"rpc_addr" is %s; want host:port`, clip(a)))
	}
	if id := request.InstanceID; id != "" && !isUUID(id) {
		return request, newProblem(wire.InvalidRequest, fmt.Sprintf(
			`"instance_id" is %s; want the UUID that /api/cluster on the new server tells as its instance_id`, clip(id)))
	}
	return request, nil
}

// decodeTransfer reads the body of POST /api/leader, which may be missing.
func decodeTransfer(in *changeInput) (wire.TransferRequest, error) {
	var request wire.TransferRequest
	if len(in.RawBody) == 0 {
		return request, nil
	}
	return request, decodeChange(in, &request, `; want {"to":2}, or {} for the voter whose log is longest`)
}

func decodeChange(in *changeInput, v any, want string) error {
	if !acceptsAsJSON(in.ContentType) {
		return newProblem(wire.UnsupportedMediaType, "the body must be JSON, not "+clip(in.ContentType))
	}
	return decodeStrict(in.RawBody, v, want)
}

// maxAddress bounds the address of a server, in bytes.
const maxAddress = 256

func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || len(text) > maxAddress {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// isUUID reports whether text has the form of a UUID (RFC 9562, 4).
func isUUID(text string) bool {
	const form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	if len(text) != len(form) {
		return false
	}
	for i, c := range []byte(text) {
		hex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
		if hex != (form[i] == 'x') || !hex && c != '-' {
			return false
		}
	}
	return true
}
