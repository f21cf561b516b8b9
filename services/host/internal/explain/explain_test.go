// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/services/host/internal/explain"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// table is a routing table with one answer.
type table struct {
	ribv1.UnimplementedRibServer
	answer *ribv1.ExplainResponse
}

func (t table) Explain(context.Context, *ribv1.ExplainRequest) (*ribv1.ExplainResponse, error) {
	return t.answer, nil
}

func explainer(t *testing.T, level uint32, server ribv1.RibServer) explain.Explainer {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	s := grpc.NewServer()
	ribv1.RegisterRibServer(s, server)
	go s.Serve(listener)
	t.Cleanup(s.Stop)
	return explain.Explainer{
		Roster: func() (roster.Roster, error) {
			return roster.Roster{Components: []roster.Component{{
				Name: "rib", Provides: []manifest.Provision{{Contract: "ashlar.rib.v1", Level: level}},
			}}}, nil
		},
		Dial: func(string) (*grpc.ClientConn, error) {
			return grpc.NewClient("passthrough:///rib", grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
		},
	}
}

func TestWhy(t *testing.T) {
	prefix := &ribv1.Prefix{Address: []byte{198, 51, 100, 0}, Length: 24}
	change := &ribv1.Change{Time: timestamppb.New(time.Now().Add(-12 * time.Second)), Prefix: prefix, Reason: "static withdrew its route and nobody else has one"}
	old := &ribv1.Change{Time: timestamppb.New(time.Now().Add(-time.Hour)), Prefix: prefix, Reason: "long ago"}
	path := &ribv1.Path{Protocol: "static", Route: &ribv1.Route{Prefix: prefix}, Reason: "waiting for the dataplane"}
	for _, test := range []struct {
		desc   string
		level  uint32
		server ribv1.RibServer
		want   string
	}{
		{"no route, a recent change", 2, table{answer: &ribv1.ExplainResponse{Changes: []*ribv1.Change{change}}},
			"there is no route; 12s ago, for 198.51.100.0/24: static withdrew its route and nobody else has one"},
		{"a route, an old change", 2, table{answer: &ribv1.ExplainResponse{Path: path, Changes: []*ribv1.Change{old}}},
			"the route is 198.51.100.0/24 (static): waiting for the dataplane"},
		{"a table of level 1", 1, table{answer: &ribv1.ExplainResponse{}}, ""},
		{"a table that cannot after all", 2, ribv1.UnimplementedRibServer{}, ""},
	} {
		t.Run(test.desc, func(t *testing.T) {
			if got := explainer(t, test.level, test.server).Why(t.Context(), netip.MustParseAddr("198.51.100.9")); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
	if got := (explain.Explainer{}).Why(t.Context(), netip.MustParseAddr("198.51.100.9")); got != "" {
		t.Errorf("without anybody to ask: %q", got)
	}
}
