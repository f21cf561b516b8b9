// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package gnmi serves gNMI (openconfig/reference, rpc/gnmi) from a feed and a commit engine. It is the edge:
// requests become domain calls here and errors become gRPC statuses here, each with the path at fault.
// What a request asks for and this service does not offer is refused, never ignored.
//
// A Server is safe for concurrent use and keeps nothing between calls.
package gnmi

import (
	"context"
	"log/slog"

	pb "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/commit"
	"github.com/ashlar-nos/ashlar/services/config/internal/feed"
)

// Setter makes a Set's changes one transaction.
type Setter interface {
	Set(ctx context.Context, user string, request *pb.SetRequest) (commit.Outcome, error)
}

// Server implements the gNMI service.
type Server struct {
	pb.UnimplementedGNMIServer
	feed    *feed.Feed
	setter  Setter
	metrics *Metrics
	log     *slog.Logger
}

// NewServer returns a server of what a feed says; Sets go to the setter, and each of them into the log.
func NewServer(f *feed.Feed, setter Setter, metrics *Metrics, log *slog.Logger) *Server {
	return &Server{feed: f, setter: setter, metrics: metrics, log: log}
}
