package founding

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"balsa/gossip"
)

// MaxServers bounds the number of servers that found a cluster together.
// Clusters of more voters than this are slower and not safer; servers that only
// read are added later.
const MaxServers = 15

// Plan is a cluster to be founded: who its first voters are. A plan is identified
// by [Plan.ClusterID], which differs between plans that differ in anything.
type Plan struct {
	// Servers are in ascending order of ID.
	Servers []Server
}

// Server is one of the founding servers.
type Server struct {
	ID uint64
	// InstanceID is the identity of its data directory.
	InstanceID gossip.UUID
	// RPCAddr is where it can be called at the time of the founding, as
	// host:port.
	RPCAddr string
}

const (
	planVersion = 1
	// domain keeps the hash of a plan from ever being the hash of something
	// else.
	domain = "balsa founding plan\x00"
)

// ErrCorrupt is wrapped by every error of a decoder in this package.
var ErrCorrupt = errors.New("founding: corrupt encoding")

// ClusterID is the id of the cluster that the plan makes: a UUID of version 8
// (RFC 9562) from the SHA-256 of the plan's encoding. All founders compute the
// same one. It covers the addresses, too, because the first entry of the log
// contains them, and clusters whose first entries differ must not share an id.
func (p Plan) ClusterID() gossip.UUID {
	sum := sha256.Sum256(append([]byte(domain), p.Encode()...))
	id := gossip.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8: made up by the application
	id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562
	return id
}

// Server returns the founding server with that id.
func (p Plan) Server(id uint64) (Server, bool) {
	for _, s := range p.Servers {
		if s.ID == id {
			return s, true
		}
	}
	return Server{}, false
}

// Equal reports whether two plans are the same in everything.
func (p Plan) Equal(q Plan) bool { return slices.Equal(p.Servers, q.Servers) }

func (p Plan) String() string {
	names := make([]string, len(p.Servers))
	for i, s := range p.Servers {
		names[i] = serverName(s.ID)
	}
	return strings.Join(names, ", ")
}

func serverName(id uint64) string { return "n" + strconv.FormatUint(id, 10) }

func (p Plan) validate() error {
	if n := len(p.Servers); n < 1 || n > MaxServers {
		return fmt.Errorf("a plan for %d servers; 1 to %d are possible", n, MaxServers)
	}
	var last uint64
	for _, s := range p.Servers {
		if s.ID <= last {
			return fmt.Errorf("server %d after server %d, want ascending ids", s.ID, last)
		}
		if s.InstanceID == (gossip.UUID{}) {
			return fmt.Errorf("server %d has no instance id", s.ID)
		}
		if n := len(s.RPCAddr); n < 1 || n > gossip.MaxAddress {
			return fmt.Errorf("server %d has an address of %d bytes", s.ID, n)
		}
		last = s.ID
	}
	return nil
}

// Encode returns the plan's one binary form, for a data directory to keep and
// for the answer of a server that has founded. Integers are little-endian:
//
//	0   version   1
//	1   count     1, then for each server
//	    id        8
//	    instance  16
//	    address   1 for the length, then the text
func (p Plan) Encode() []byte {
	b := []byte{planVersion, byte(len(p.Servers))}
	for _, s := range p.Servers {
		b = binary.LittleEndian.AppendUint64(b, s.ID)
		b = append(b, s.InstanceID[:]...)
		b = append(b, byte(len(s.RPCAddr)))
		b = append(b, s.RPCAddr...)
	}
	return b
}

// DecodePlan is the inverse of [Plan.Encode]. Errors wrap [ErrCorrupt].
func DecodePlan(b []byte) (Plan, error) {
	r := reader{rest: b}
	if v := r.byte(); r.err == nil && v != planVersion {
		r.fail("plan of version %d, this program knows %d", v, planVersion)
	}
	count := int(r.byte())
	if count > MaxServers {
		r.fail("plan for %d servers, at most %d are possible", count, MaxServers)
	}
	var p Plan
	for i := 0; i < count && r.err == nil; i++ {
		s := Server{ID: r.uint64(), InstanceID: r.uuid()}
		s.RPCAddr = string(r.take(int(r.byte())))
		p.Servers = append(p.Servers, s)
	}
	r.end()
	if r.err == nil {
		if err := p.validate(); err != nil {
			r.fail("%v", err)
		}
	}
	if r.err != nil {
		return Plan{}, r.err
	}
	return p, nil
}
