// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"log/slog"
	"testing"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// FuzzRequests reads any bytes as each kind of request. The answer is data or a refusal with a code of the
// specification, never a panic and never an internal error.
func FuzzRequests(f *testing.F) {
	seed := func(m proto.Message) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, path := range []string{"/", ge0, "/interfaces/.../mtu", "/interfaces/interface[name=*]/config/mtu", "/*/*", "/..."} {
		p := gpath.MustParse(path)
		seed(&pb.GetRequest{Path: []*pb.Path{p}, Encoding: pb.Encoding_PROTO})
		seed(&pb.SetRequest{Delete: []*pb.Path{p}})
		seed(&pb.SubscriptionList{Subscription: []*pb.Subscription{{Path: p, Mode: pb.SubscriptionMode_SAMPLE}}})
	}
	seed(&pb.SetRequest{
		Prefix: &pb.Path{Origin: "openconfig", Target: "x"}, Update: []*pb.Update{update(ge0+"/config", `{"name":"ge0","mtu":9000}`)},
		Replace: []*pb.Update{update("/", `{"openconfig-interfaces:interfaces":{"interface":[{"name":"ge0","config":{"name":"ge0"}}]}}`)},
	})
	d := newDevice(f)
	d.configure(ge0+"/config/mtu", "1400")
	s := NewServer(d.feed, d, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx := t.Context()
		get, set, list := &pb.GetRequest{}, &pb.SetRequest{}, &pb.SubscriptionList{}
		if proto.Unmarshal(b, get) == nil {
			_, err := s.Get(ctx, get)
			sane(t, err)
		}
		if proto.Unmarshal(b, list) == nil {
			_, err := parseList(d.feed.Model(), list)
			sane(t, err)
		}
		if proto.Unmarshal(b, set) == nil {
			_, err := s.Set(ctx, set)
			sane(t, err)
		}
	})
}

func sane(t *testing.T, err error) {
	t.Helper()
	switch status.Code(err) {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
	default:
		t.Errorf("%v", err)
	}
}
