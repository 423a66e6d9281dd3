// Package history records what clients of a key-value store asked and heard,
// and judges whether a linearizable store could have answered so.
//
// It knows nothing of the store that it judges: a history is plain data, from
// whatever source, and the judge is Porcupine with a model of this store's
// operations (model.go).
//
// # What a history says
//
// An [Operation] is one request: who sent it, when, what it asked ([Input]),
// what came back ([Output]) and when. The verdict depends on when, so the times
// must come from one clock, and an interval from call to return must cover the
// whole request. Wider is fair, narrower is not.
//
// Four things can come back. [OK] and [Conflict] are answers. [Failed] says
// that the operation certainly had no effect and returned nothing; it is kept
// for the statistics and judged to be nothing. [Unknown] says that nobody can
// tell: a write may have taken effect at any time after its call, also after
// the client gave up, or never.
//
// Reads of kind [StaleGet] promise less than linearizability and are not judged
// by it; [Invented] checks what little they do promise.
//
// # The file format
//
// A history is stored as lines of JSON, in UTF-8. The first line is
//
//	{"format":"balsa-history","version":1}
//
// and each other line is one operation or one event, in any order:
//
//	{"op":{"client":2,"node":1,"call":1200,"return":3400,
//	  "input":{"kind":"put","key":"a","value":"x"},"output":{"outcome":"ok","revision":7}}}
//	{"event":{"source":"n1","start":1500,"end":9000,"text":"killed"}}
//
// (the first of these is broken in two to fit the page). Times are nanoseconds
// since the recording began. Fields that do not apply to a kind or an outcome
// are left out, and refused by [Read]. A key or value that is not valid UTF-8
// is written as {"base64":"/w=="} in place of the string.
//
//	kind                input           output if ok        output if conflict
//	get, stale-get      key             found value revision
//	put                 key value       revision
//	delete              key             found revision
//	compare-and-set     key expected    revision            revision (the actual one)
//	                    value
//	compare-and-delete  key expected    found revision      revision (the actual one)
//
// Outcomes "failed" and "unknown" have no other output; an operation whose
// client never heard anything has no return time either.
package history
