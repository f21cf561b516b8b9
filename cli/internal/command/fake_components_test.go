// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"net/netip"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	hostv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

type fakeSupervisor struct {
	supervisorv1.UnimplementedSupervisorServer
}

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(-d)) }

func fakeComponents() []*supervisorv1.ComponentStatus {
	return []*supervisorv1.ComponentStatus{
		{Name: "state", Daemon: "stated", Version: "1.0.0", Phase: supervisorv1.Phase_PHASE_READY, Pid: 101, Uid: 900, Started: ago(25*time.Hour + time.Minute),
			ReadyAfterMs: 61, MemoryBytes: 31 << 20},
		{Name: "rib", Daemon: "ribd", Version: "1.2.3", Phase: supervisorv1.Phase_PHASE_BACKOFF, Crashes: 3, Restarts: 1, LastExit: "signal: killed",
			LastCause: supervisorv1.Cause_CAUSE_OUT_OF_MEMORY, Reason: "starts again in 2 s",
			Reversal: &supervisorv1.Reversal{FromVersion: "1.2.4", ToVersion: "1.2.3", Reason: "ribd ended by itself: exit status 2", At: ago(49*time.Hour + time.Minute)}},
	}
}

func (*fakeSupervisor) List(context.Context, *supervisorv1.ListRequest) (*supervisorv1.ListResponse, error) {
	return &supervisorv1.ListResponse{SupervisorVersion: "1.0.0", SupervisorStarted: ago(49*time.Hour + time.Minute), Components: fakeComponents()}, nil
}

func (*fakeSupervisor) Watch(_ *supervisorv1.WatchRequest, stream supervisorv1.Supervisor_WatchServer) error {
	for _, c := range fakeComponents() {
		if err := stream.Send(&supervisorv1.WatchResponse{Component: c}); err != nil {
			return err
		}
	}
	if err := stream.Send(&supervisorv1.WatchResponse{Synced: true}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func (*fakeSupervisor) Restart(_ context.Context, r *supervisorv1.RestartRequest) (*supervisorv1.RestartResponse, error) {
	if r.GetComponent() != "state" {
		return nil, status.Errorf(codes.NotFound, "no component %q: there are state and rib", r.GetComponent())
	}
	return &supervisorv1.RestartResponse{Component: fakeComponents()[0]}, nil
}

func (*fakeSupervisor) Logs(r *supervisorv1.LogsRequest, stream supervisorv1.Supervisor_LogsServer) error {
	for _, m := range []*supervisorv1.LogsResponse{
		{Component: "state", Line: `{"time":"2026-01-02T03:04:05.678Z","level":"INFO","msg":"activated","component":"state","version":"1.0.0","token":3}`},
		{Component: "state", Line: "plain text"},
		{Component: "rib", Line: `{"time":"2026-01-02T03:04:06Z","level":"ERROR","msg":"lost the dataplane","component":"rib","error":"connection refused"}`},
	} {
		if r.GetComponent() != "" && r.GetComponent() != m.GetComponent() {
			continue
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

type fakeRib struct{ ribv1.UnimplementedRibServer }

func packed(a string) []byte { return netip.MustParseAddr(a).AsSlice() }

func (fakeRib) List(r *ribv1.ListRequest, stream ribv1.Rib_ListServer) error {
	if r.GetWithin() != nil && r.GetWithin().GetLength() != 8 {
		return status.Error(codes.InvalidArgument, "the script wants 10.0.0.0/8")
	}
	v4 := []*ribv1.Path{
		{Protocol: "static", Best: true, Installed: true,
			Route: &ribv1.Route{Prefix: &ribv1.Prefix{Address: packed("10.99.0.0"), Length: 16}, Distance: 1,
				NextHops: []*ribv1.NextHop{{Address: packed("198.51.100.10")}, {Address: packed("203.0.113.10"), Weight: 2}}},
			Resolved: []*ribv1.NextHop{{Address: packed("198.51.100.10"), Interface: "ge1", Weight: 1}, {Address: packed("203.0.113.10"), Interface: "ge2", Weight: 2}}},
		{Protocol: "static", Reason: "no route to 9.9.9.9",
			Route: &ribv1.Route{Prefix: &ribv1.Prefix{Address: packed("10.98.0.0"), Length: 16}, Distance: 1, NextHops: []*ribv1.NextHop{{Address: packed("9.9.9.9")}}}},
	}
	v6 := []*ribv1.Path{{Protocol: "static", Best: true, Installed: false, Reason: "the dataplane has not acknowledged it",
		Route: &ribv1.Route{Prefix: &ribv1.Prefix{Address: packed("2001:db8:99::"), Length: 48}, Distance: 1, Drop: true}}}
	if r.GetFamily() != 6 {
		if err := stream.Send(&ribv1.ListResponse{Paths: v4}); err != nil {
			return err
		}
	}
	if r.GetFamily() != 4 {
		return stream.Send(&ribv1.ListResponse{Paths: v6})
	}
	return nil
}

func (fakeRib) Lookup(_ context.Context, r *ribv1.LookupRequest) (*ribv1.LookupResponse, error) {
	if len(r.GetAddress()) != 4 {
		return nil, status.Error(codes.NotFound, "no route")
	}
	return &ribv1.LookupResponse{Path: &ribv1.Path{Protocol: "connected", Best: true, Installed: true,
		Route: &ribv1.Route{Prefix: &ribv1.Prefix{Address: packed("192.0.2.0"), Length: 24}, NextHops: []*ribv1.NextHop{{Interface: "ge0"}}}}}, nil
}

type fakeDataplane struct {
	dataplanev1.UnimplementedDataplaneServer
}

func (fakeDataplane) ListRoutes(_ *dataplanev1.ListRoutesRequest, stream dataplanev1.Dataplane_ListRoutesServer) error {
	return stream.Send(&dataplanev1.ListRoutesResponse{Routes: []*dataplanev1.ForwardingRoute{
		{Prefix: append(packed("10.99.0.0"), 16), Group: 7, Action: dataplanev1.Action_ACTION_FORWARD, NextHops: []*dataplanev1.ResolvedNextHop{
			{Interface: "ge1", Address: packed("198.51.100.10"), Weight: 1, Resolved: true, HardwareAddress: []byte{2, 0, 0, 0, 0, 1}},
			{Interface: "ge2", Address: packed("203.0.113.10"), Weight: 1}}},
		{Prefix: append(packed("2001:db8:a::"), 64), Group: 8, Action: dataplanev1.Action_ACTION_CONNECTED, NextHops: []*dataplanev1.ResolvedNextHop{{Interface: "ge0"}}},
	}})
}

func (fakeDataplane) Lookup(context.Context, *dataplanev1.LookupRequest) (*dataplanev1.LookupResponse, error) {
	return &dataplanev1.LookupResponse{}, nil
}

func (fakeDataplane) ListNeighbors(context.Context, *dataplanev1.ListNeighborsRequest) (*dataplanev1.ListNeighborsResponse, error) {
	return &dataplanev1.ListNeighborsResponse{Neighbors: []*dataplanev1.Neighbor{
		{Interface: "ge0", Address: packed("192.0.2.10"), HardwareAddress: []byte{2, 0, 0, 0, 0, 10}, State: "reachable"},
		{Interface: "ge1", Address: packed("198.51.100.10"), State: "incomplete"},
	}}, nil
}

func (fakeDataplane) ListPorts(context.Context, *dataplanev1.ListPortsRequest) (*dataplanev1.ListPortsResponse, error) {
	return &dataplanev1.ListPortsResponse{Ports: []*dataplanev1.PortStatus{
		{Name: "ge0", Attached: true, Mode: "native", Up: true, Counters: &dataplanev1.PortCounters{InPackets: 10, ForwardedPackets: 8, PuntedPackets: 1, DroppedPackets: 1}},
		{Name: "ge9", Reason: "the link does not exist"},
	}}, nil
}

func (fakeDataplane) GetCounters(context.Context, *dataplanev1.GetCountersRequest) (*dataplanev1.GetCountersResponse, error) {
	return &dataplanev1.GetCountersResponse{
		Drops: map[string]uint64{"ttl-expired": 1}, Punts: map[string]uint64{"local": 1, "glean": 0}, ForwardedPackets: 8,
		Tables: []*dataplanev1.TableUsage{{Name: "routes-v4", Used: 2, Limit: 1000000}},
	}, nil
}

type fakeHost struct{ hostv1.UnimplementedHostServer }

func (fakeHost) Ping(r *hostv1.PingRequest, stream hostv1.Host_PingServer) error {
	if r.GetDestination() == "nowhere" {
		return status.Error(codes.InvalidArgument, "nowhere is no address and no name that resolves")
	}
	replies := []*hostv1.PingReply{
		{Sequence: 1, Source: r.GetDestination(), Bytes: r.GetSize() + 8, RoundTrip: durationpb.New(1234 * time.Microsecond)},
		{Sequence: 2},
		{Sequence: 3, Error: "host unreachable from 192.0.2.1"},
	}
	sum := &hostv1.PingSummary{Sent: 3, Received: 1, Minimum: replies[0].GetRoundTrip(), Average: replies[0].GetRoundTrip(), Maximum: replies[0].GetRoundTrip()}
	if r.GetDestination() == "203.0.113.99" {
		replies, sum = replies[1:2], &hostv1.PingSummary{Sent: 1}
	}
	for _, m := range replies {
		if err := stream.Send(&hostv1.PingResponse{Message: &hostv1.PingResponse_Reply{Reply: m}}); err != nil {
			return err
		}
	}
	return stream.Send(&hostv1.PingResponse{Message: &hostv1.PingResponse_Summary{Summary: sum}})
}

func (fakeHost) Traceroute(r *hostv1.TracerouteRequest, stream hostv1.Host_TracerouteServer) error {
	for _, m := range []*hostv1.TracerouteResponse{
		{Hop: 1, Source: "192.0.2.1", RoundTrip: durationpb.New(500 * time.Microsecond)},
		{Hop: 2},
		{Hop: 3, Source: r.GetDestination(), RoundTrip: durationpb.New(2 * time.Millisecond), Reached: r.GetMaxHops() > 2},
	} {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}
