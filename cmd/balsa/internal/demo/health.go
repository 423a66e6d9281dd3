package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// readyInterval is how often the nodes are asked whether they are ready, and
// sayInterval how often the demo says what it still waits for.
const (
	readyInterval = 50 * time.Millisecond
	sayInterval   = 5 * time.Second
	askPatience   = 2 * time.Second
)

// waitReady waits until every node is ready. It returns false if ctx ends first.
func waitReady(ctx context.Context, nodes []*process, out *output) bool {
	lastSaid := time.Now()
	for _, p := range nodes {
		for {
			reason := notReady(ctx, p.apiAddr)
			if reason == "" {
				break
			}
			if time.Since(lastSaid) > sayInterval {
				out.say("waiting for node %d: %s", p.id, reason)
				lastSaid = time.Now()
			}
			select {
			case <-ctx.Done():
				return false
			case <-time.After(readyInterval):
			}
		}
	}
	return true
}

// notReady returns why a node is not ready, or nothing if it is.
func notReady(ctx context.Context, apiAddr string) string {
	var problem struct {
		Detail string `json:"detail"`
	}
	switch status, err := getJSON(ctx, apiAddr, "/readyz", &problem); {
	case err != nil:
		return "it does not answer yet"
	case status == http.StatusOK:
		return ""
	case problem.Detail == "":
		return fmt.Sprintf("it answers with status %d", status)
	}
	return problem.Detail
}

// leaderOf returns the leader that the first node knows, or the first node if it
// knows none.
func leaderOf(ctx context.Context, nodes []*process) *process {
	var cluster struct {
		LeaderID int `json:"leader_id"`
	}
	_, _ = getJSON(ctx, nodes[0].apiAddr, "/api/cluster", &cluster)
	for _, p := range nodes {
		if p.id == cluster.LeaderID {
			return p
		}
	}
	return nodes[0]
}

// getJSON asks a node. The answer may be a problem: see the status.
func getJSON(ctx context.Context, apiAddr, path string, into any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+apiAddr+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(into)
}

// answers reports whether anybody listens at an address.
func answers(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
