// Package raft is the Raft algorithm as a deterministic state machine.
package raft
