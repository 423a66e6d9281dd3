package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// UUID is the identity of a cluster or of a data directory. The zero UUID means
// that there is none.
type UUID [16]byte

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// MaxAddress bounds the length of an advertised address, in bytes. Two of them
// and the rest of what a server says about itself fit into the 512 bytes that
// memberlist carries for each server.
const MaxAddress = 200

// maxName bounds the length of a server's name in gossip, in bytes.
const maxName = 64

// runID tells one life of a process from the next. It is drawn at random at each
// start and nobody orders them; they are only ever equal or not.
type runID [8]byte

// meta is what a server says about itself.
type meta struct {
	id       uint64
	instance UUID
	// cluster is zero until the server has founded or joined a cluster.
	cluster UUID
	run     runID
	rpcAddr string
	// apiAddr may be empty: the server has no door for clients.
	apiAddr string
	// expect is the number of servers that together found a cluster, or 0.
	expect int
}

// metaVersion is the first byte of an encoded meta. A program that does not know
// the version keeps the server out and says why.
const metaVersion = 1

// metaFixed is the length of an encoded meta without the two addresses.
const metaFixed = 1 + 8 + 16 + 16 + 8 + 1 + 1 + 1

// encode returns the bytes that memberlist carries:
//
//	0   version   1
//	1   id        8, little-endian
//	9   instance  16
//	25  cluster   16
//	41  run       8
//	49  expect    1
//	50  rpc       1 for the length, then the text
//	..  api       1 for the length, then the text
func (m meta) encode() []byte {
	b := make([]byte, 0, metaFixed+len(m.rpcAddr)+len(m.apiAddr))
	b = append(b, metaVersion)
	b = binary.LittleEndian.AppendUint64(b, m.id)
	b = append(b, m.instance[:]...)
	b = append(b, m.cluster[:]...)
	b = append(b, m.run[:]...)
	b = append(b, byte(m.expect))
	b = append(b, byte(len(m.rpcAddr)))
	b = append(b, m.rpcAddr...)
	b = append(b, byte(len(m.apiAddr)))
	return append(b, m.apiAddr...)
}

// decodeMeta is the inverse of encode. The bytes come from whoever can reach the
// gossip port, so everything is checked: the result can be shown, logged and
// dialled.
func decodeMeta(b []byte) (meta, error) {
	r := reader{rest: b}
	if v := r.byte(); r.err == nil && v != metaVersion {
		return meta{}, fmt.Errorf("%w: it is of version %d, this program speaks version %d; run the same version of balsa on all servers",
			errMeta, v, metaVersion)
	}
	var m meta
	if id := r.take(8); id != nil {
		m.id = binary.LittleEndian.Uint64(id)
	}
	copy(m.instance[:], r.take(len(m.instance)))
	copy(m.cluster[:], r.take(len(m.cluster)))
	copy(m.run[:], r.take(len(m.run)))
	m.expect = int(r.byte())
	m.rpcAddr = r.text()
	m.apiAddr = r.text()
	if err := r.end(); err != nil {
		return meta{}, err
	}
	if err := m.validate(); err != nil {
		return meta{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	return m, nil
}

// validate holds both for what we say and for what we are told.
func (m meta) validate() error {
	if m.id == 0 {
		return errors.New("the id is 0; ids start at 1")
	}
	if m.instance == (UUID{}) {
		return errors.New("there is no instance id")
	}
	if err := checkDialable(m.rpcAddr); err != nil {
		return fmt.Errorf("the RPC address: %w", err)
	}
	if m.apiAddr == "" {
		return nil
	}
	if err := checkDialable(m.apiAddr); err != nil {
		return fmt.Errorf("the API address: %w", err)
	}
	return nil
}

// checkDialable reports why nobody else could dial an address. A host name is
// accepted without looking it up: that happens where it is dialled.
func checkDialable(addr string) error {
	if len(addr) > MaxAddress {
		return fmt.Errorf("it has %d bytes, at most %d fit into gossip", len(addr), MaxAddress)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not of the form host:port", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no port between 1 and 65535", addr)
	}
	if host == "" || !plain(host) {
		return fmt.Errorf("%q has no usable host", addr)
	}
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsUnspecified() || ip.IsMulticast()) {
		return fmt.Errorf("%q is not an address that another server can dial; give the one that it is reached at", addr)
	}
	return nil
}

// plain reports whether s consists of what IP addresses and host names are
// written with. Anything else, control characters above all, has no business in
// a log or on a dashboard.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9'
		return !letter && !digit && !strings.ContainsRune(".:-_", c)
	})
}

// checkName reports why a name cannot be a server's name in gossip.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a name in gossip has 1 to %d bytes, this one has %d", maxName, len(name))
	}
	if !plain(name) {
		return fmt.Errorf("the name %q has characters other than letters, digits and .:-_", name)
	}
	return nil
}
