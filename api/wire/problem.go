package wire

import (
	"fmt"
	"net/http"
)

// ProblemContentType is the media type of every error body (RFC 9457).
const ProblemContentType = "application/problem+json"

// Problem is the body of every error response.
type Problem struct {
	Type   string `json:"type" format:"uri" doc:"What kind of problem this is. Stable: programs should decide by it." example:"https://balsa.dev/problems/no-leader"`
	Title  string `json:"title" doc:"The kind in a few words." example:"No leader"`
	Status int    `json:"status" doc:"The HTTP status, again." example:"503"`
	Detail string `json:"detail,omitempty" doc:"What happened this time, and what to do." example:"no leader is known; try again in a moment"`
	// Revision is set on PreconditionFailed when the store could tell.
	Revision *uint64 `json:"revision,omitempty" doc:"Only with precondition-failed: the revision that the key has now, 0 if it does not exist." example:"12"`
}

// Error returns the problem as a sentence.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%s (%d)", p.Title, p.Status)
	}
	return fmt.Sprintf("%s (%d): %s", p.Title, p.Status, p.Detail)
}

// NewProblem returns a problem of the type with that URI, which must be one of
// [ProblemTypes]. The detail says what happened this time, and what to do.
func NewProblem(uri, detail string) *Problem {
	t, ok := LookupProblem(uri)
	if !ok {
		panic("unknown problem type " + uri)
	}
	return &Problem{Type: t.URI, Title: t.Title, Status: t.Status, Detail: detail}
}

// Effect says what a request that ended in a problem did to the data, or to the
// members.
type Effect uint8

const (
	// NoEffect means that nothing was written and nothing will be.
	NoEffect Effect = iota
	// UnknownEffect means that a write may have happened, may still happen, or
	// may never happen. Reads have no effect whatever the problem.
	UnknownEffect
)

// ProblemType is one kind of error. The types never change their URI or their
// meaning; new ones may be added.
type ProblemType struct {
	// URI is the value of Problem.Type.
	URI string
	// Title is the value of Problem.Title.
	Title string
	// Status is the HTTP status that the type comes with.
	Status int
	// Effect is what became of a write.
	Effect Effect
	// Temporary means that the same request may well succeed a moment later, on
	// this node or on another one.
	Temporary bool
	// Explanation is for people: what it means and what to do.
	Explanation string
}

const problemBase = "https://balsa.dev/problems/"

// The kinds of errors, by URI.
const (
	MalformedRequest     = problemBase + "malformed-request"
	CrossOrigin          = problemBase + "cross-origin"
	KeyNotFound          = problemBase + "key-not-found"
	NoSuchMember         = problemBase + "no-such-member"
	NoSuchPage           = problemBase + "no-such-page"
	MethodNotAllowed     = problemBase + "method-not-allowed"
	NotText              = problemBase + "not-text"
	RequestTimeout       = problemBase + "request-timeout"
	ChangePending        = problemBase + "change-pending"
	ConfigurationChanged = problemBase + "configuration-changed"
	NotCaughtUp          = problemBase + "not-caught-up"
	NoLiveMajority       = problemBase + "no-live-majority"
	TransferFailed       = problemBase + "transfer-failed"
	PreconditionFailed   = problemBase + "precondition-failed"
	TooLarge             = problemBase + "too-large"
	UnsupportedMediaType = problemBase + "unsupported-media-type"
	WrongHost            = problemBase + "wrong-host"
	InvalidRequest       = problemBase + "invalid-request"
	ImpossibleChange     = problemBase + "impossible-change"
	Busy                 = problemBase + "busy"
	Internal             = problemBase + "internal"
	NotUnderstood        = problemBase + "not-understood"
	NoLeader             = problemBase + "no-leader"
	NoQuorum             = problemBase + "no-quorum"
	NotAMember           = problemBase + "not-a-member"
	NotReady             = problemBase + "not-ready"
	Stopping             = problemBase + "stopping"
	OutcomeUnknown       = problemBase + "outcome-unknown"
)

// ProblemTypes are all kinds of errors, in ascending order of status.
var ProblemTypes = []ProblemType{
	{URI: MalformedRequest, Title: "Malformed request", Status: http.StatusBadRequest,
		Explanation: "The request cannot be understood: the body is no JSON, or not valid UTF-8, or a header does not have its form. Correct it before sending it again."},
	{URI: CrossOrigin, Title: "Cross-origin request refused", Status: http.StatusForbidden,
		Explanation: "A web page of another origin tried to write. Browsers may write only from pages that this node served."},
	{URI: KeyNotFound, Title: "Key not found", Status: http.StatusNotFound,
		Explanation: "There is no such key. A key with an empty value is a different thing: it is found. A local read may also miss a key that was written a moment ago."},
	{URI: NoSuchMember, Title: "No such member", Status: http.StatusNotFound,
		Explanation: "The ID is none of a member's. A server that is to be added must be seen alive by gossip, or its address and the identity of its data directory must be given. /api/members lists them all."},
	{URI: NoSuchPage, Title: "No such page", Status: http.StatusNotFound,
		Explanation: "The path is none of the API's. The OpenAPI document at /spec lists them all."},
	{URI: MethodNotAllowed, Title: "Method not allowed", Status: http.StatusMethodNotAllowed,
		Explanation: "The path exists and does not take this method. The Allow header lists those that it takes."},
	{URI: NotText, Title: "Not text", Status: http.StatusNotAcceptable,
		Explanation: "The key or the value is not valid UTF-8, so JSON cannot carry it unchanged. Read it as raw bytes at /api/kv/{key}."},
	{URI: RequestTimeout, Title: "Request not received in time", Status: http.StatusRequestTimeout, Temporary: true,
		Explanation: "The body did not arrive within the time that the node allows. Nothing was done."},
	{URI: ChangePending, Title: "Another change is under way", Status: http.StatusConflict, Temporary: true,
		Explanation: "Members change one at a time. Another change is not done yet, or leadership is being handed over, or the leader is so new that it does not know yet which configuration is in force. Nothing was changed. Try again after the time in Retry-After."},
	{URI: ConfigurationChanged, Title: "Configuration changed", Status: http.StatusConflict,
		Explanation: "Somebody else has changed the members since this change was thought out. Nothing was changed by this one. Look at /api/members and decide anew."},
	{URI: NotCaughtUp, Title: "Not caught up", Status: http.StatusConflict,
		Explanation: "A server must be a learner that has nearly all of the log before it can vote, or before it can lead. Nothing was changed. /api/members says how far it is."},
	{URI: NoLiveMajority, Title: "No live majority", Status: http.StatusConflict,
		Explanation: "Of the voters that the change leads to, too few answer to decide anything, so that the cluster would stop. Nothing was changed. Bring the silent ones back, or remove them first."},
	{URI: TransferFailed, Title: "Leadership not transferred", Status: http.StatusConflict,
		Explanation: "The successor did not take over within an election timeout. The leader goes on, unless another one was elected meanwhile. Nothing is lost. See at /api/members who leads, and that the successor is up, before trying again."},
	{URI: PreconditionFailed, Title: "Precondition failed", Status: http.StatusPreconditionFailed,
		Explanation: "If-Match or If-None-Match named another state of the key than the one it is in. Nothing was written. Read the key, decide anew, and try again with its revision."},
	{URI: TooLarge, Title: "Too large", Status: http.StatusRequestEntityTooLarge,
		Explanation: "The key, the value or the body is over the limit that the detail names. Nothing was written."},
	{URI: UnsupportedMediaType, Title: "Unsupported media type", Status: http.StatusUnsupportedMediaType,
		Explanation: "The body must be JSON. Send Content-Type: application/json, or none."},
	{URI: WrongHost, Title: "Wrong host", Status: http.StatusMisdirectedRequest,
		Explanation: "A request over the loopback interface named a host that this node does not know as its own, which is how DNS rebinding attacks look. Use localhost, an IP address, or a host name that the node was told to allow."},
	{URI: InvalidRequest, Title: "Invalid request", Status: http.StatusUnprocessableEntity,
		Explanation: "The request is well formed and makes no sense: a field is missing, unknown or of the wrong type, the key is empty, or a parameter has a value that it cannot have."},
	{URI: ImpossibleChange, Title: "Impossible change", Status: http.StatusUnprocessableEntity,
		Explanation: "The change can never be made as it is: the detail says why. Nothing was changed."},
	{URI: Busy, Title: "Busy", Status: http.StatusTooManyRequests, Temporary: true,
		Explanation: "More requests are waiting than the node takes. Nothing was done. Try again after the time in Retry-After."},
	{URI: Internal, Title: "Internal error", Status: http.StatusInternalServerError, Effect: UnknownEffect,
		Explanation: "A defect, or a disk that failed. The log of the node says more. A write may or may not have happened."},
	{URI: NotUnderstood, Title: "Not understood by the cluster", Status: http.StatusNotImplemented,
		Explanation: "The leader runs an older version of the program, which does not know this command. Nothing was written. Finish the upgrade of all nodes first."},
	{URI: NoLeader, Title: "No leader", Status: http.StatusServiceUnavailable, Temporary: true,
		Explanation: "The node knows no leader, or the leader changed before it took the request. Nothing was written and nothing will be. Elections take well under a second: try again after the time in Retry-After."},
	{URI: NoQuorum, Title: "No quorum", Status: http.StatusServiceUnavailable, Temporary: true,
		Explanation: "No leader could confirm the read with a majority of the voters in time. Check that most of the servers are up and reach each other. A local read at /api/read/{key} still works and may be stale."},
	{URI: NotAMember, Title: "Not a member", Status: http.StatusServiceUnavailable, Temporary: true,
		Explanation: "The node that was asked belongs to no cluster yet, or not any more: the detail says what it waits for. Nothing was done. Ask another one."},
	{URI: NotReady, Title: "Not ready", Status: http.StatusServiceUnavailable, Temporary: true,
		Explanation: "The node runs and cannot take requests yet: the detail says what it waits for."},
	{URI: Stopping, Title: "Stopping", Status: http.StatusServiceUnavailable, Temporary: true,
		Explanation: "The node is going down. Nothing was written. Ask another one."},
	{URI: OutcomeUnknown, Title: "Outcome unknown", Status: http.StatusGatewayTimeout, Effect: UnknownEffect,
		Explanation: "The node did not learn in time what became of the write: it may have happened, may still happen, or may never happen. This is not the same as failed. Read the key before deciding, or write with If-Match so that a repetition cannot happen twice. After a change of members, look at /api/members."},
}

// LookupProblem returns the type with that URI.
func LookupProblem(uri string) (ProblemType, bool) {
	for _, t := range ProblemTypes {
		if t.URI == uri {
			return t, true
		}
	}
	return ProblemType{}, false
}
