package api

import (
	"context"
	"net/http"

	"balsa/api/wire"

	"github.com/danielgtaylor/huma/v2"
)

type clusterOutput struct {
	Body wire.ClusterStatus
}

type healthOutput struct {
	Body wire.Health
}

// registerCluster adds the endpoints about the node and its cluster.
func (d *door) registerCluster(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "cluster",
		Method:      http.MethodGet,
		Path:        "/api/cluster",
		Tags:        []string{tagCluster},
		Summary:     "Show the cluster",
		Description: "What this node knows, from Raft and from gossip. It answers without asking anybody, also when there is no leader.",
		Responses:   problemResponses(api, wire.Stopping),
	}, d.cluster)
	huma.Register(api, huma.Operation{
		OperationID: "healthz",
		Method:      http.MethodGet,
		Path:        "/healthz",
		Tags:        []string{tagCluster},
		Summary:     "Is the process alive?",
		Description: "For supervisors that restart what does not answer. It says nothing about the cluster.",
		Responses:   problemResponses(api),
	}, d.healthz)
	huma.Register(api, huma.Operation{
		OperationID: "readyz",
		Method:      http.MethodGet,
		Path:        "/readyz",
		Tags:        []string{tagCluster},
		Summary:     "May requests be sent to this node?",
		Description: "For load balancers. 503 until the node knows a leader and has caught up with it.",
		Responses:   problemResponses(api, wire.NotReady),
	}, d.readyz)
}

func (d *door) cluster(ctx context.Context, _ *struct{}) (*clusterOutput, error) {
	status, err := d.status(ctx)
	if err != nil {
		return nil, err
	}
	return &clusterOutput{Body: status}, nil
}

// status asks for the cluster's status. No list in it is nil, and an error is a
// problem.
func (d *door) status(ctx context.Context) (wire.ClusterStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	status, err := d.config.Cluster.Status(ctx)
	if err != nil {
		return status, d.failed(err)
	}
	status.Voters = orEmpty(status.Voters)
	status.Learners = orEmpty(status.Learners)
	status.Members = orEmpty(status.Members)
	if c := status.Change; c != nil {
		status.Change = &wire.PendingChange{
			Joint: c.Joint, Committed: c.Committed, OldVoters: orEmpty(c.OldVoters), NewVoters: orEmpty(c.NewVoters),
		}
	}
	return status, nil
}

// orEmpty makes a list that JSON writes as [] and not as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (d *door) healthz(context.Context, *struct{}) (*healthOutput, error) {
	return &healthOutput{Body: wire.Health{Status: "ok", NodeID: d.config.NodeID}}, nil
}

func (d *door) readyz(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, d.config.RequestTimeout)
	defer cancel()
	if err := d.config.Cluster.Ready(ctx); err != nil {
		return nil, newProblem(wire.NotReady, err.Error())
	}
	return &healthOutput{Body: wire.Health{Status: "ready", NodeID: d.config.NodeID}}, nil
}
