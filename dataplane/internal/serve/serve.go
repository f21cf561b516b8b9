// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package serve speaks ashlar.dataplane.v1: it turns wire messages into the engine's terms and its errors
// into codes. It keeps nothing but the streams.
package serve

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"sync/atomic"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Program says what runs in the kernel.
type Program struct {
	Hash    [32]byte
	Adopted bool // older than this process
}

// Server implements the contract. It is safe for concurrent use.
type Server struct {
	dataplanev1.UnimplementedDataplaneServer
	begun   chan struct{}
	backend atomic.Pointer[Backend]
}

// New returns a server whose calls wait until Begin.
func New() *Server { return &Server{begun: make(chan struct{})} }

// Backend is what is behind the contract.
type Backend struct {
	Engine  *engine.Engine
	Program Program
	// Extra gives limits that others than the engine keep.
	Extra func() []engine.Usage
}

// Begin lets the server answer. It is called once.
func (s *Server) Begin(b Backend) {
	s.backend.Store(&b)
	close(s.begun)
}

// await returns the backend. While the tables are being taken over a call waits, for as long as its caller does:
// that takes a moment, and callers see no failure of it.
func (s *Server) await(ctx context.Context) (*Backend, error) {
	select {
	case <-s.begun:
		return s.backend.Load(), nil
	case <-ctx.Done():
		return nil, status.Error(codes.Unavailable, "the dataplane is starting")
	}
}

// codeOf is the code for an error of the engine.
func codeOf(err error) codes.Code {
	var full *fib.LimitError
	switch {
	case errors.As(err, &full):
		return codes.ResourceExhausted
	case errors.Is(err, engine.ErrInvalid):
		return codes.InvalidArgument
	case errors.Is(err, engine.ErrFenced):
		return codes.FailedPrecondition
	case errors.Is(err, engine.ErrSuperseded):
		return codes.Aborted
	}
	return codes.Internal
}

func wire(err error) error { return status.Error(codeOf(err), err.Error()) }

// SetPorts implements the contract.
func (s *Server) SetPorts(ctx context.Context, r *dataplanev1.SetPortsRequest) (*dataplanev1.SetPortsResponse, error) {
	var ports []engine.Port
	for _, p := range r.GetPorts() {
		ports = append(ports, engine.Port{Name: p.GetName(), Enabled: p.GetEnabled(), MTU: p.GetMtu()})
	}
	b, err := s.await(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.Engine.SetPorts(r.GetFencingToken(), ports); err != nil {
		return nil, wire(err)
	}
	return &dataplanev1.SetPortsResponse{Ports: b.ports()}, nil
}

// ListPorts implements the contract.
func (s *Server) ListPorts(ctx context.Context, _ *dataplanev1.ListPortsRequest) (*dataplanev1.ListPortsResponse, error) {
	b, err := s.await(ctx)
	if err != nil {
		return nil, err
	}
	return &dataplanev1.ListPortsResponse{Ports: b.ports()}, nil
}

func (b *Backend) ports() (l []*dataplanev1.PortStatus) {
	for _, p := range b.Engine.Ports() {
		c := p.Counters
		l = append(l, &dataplanev1.PortStatus{
			Name: p.Name, Index: p.Link.Index, Attached: p.Attached, Mode: p.Mode, Up: p.Link.Up, Reason: p.Reason,
			Counters: &dataplanev1.PortCounters{
				InPackets: c.InPackets, InBytes: c.InBytes, OutPackets: c.OutPackets, OutBytes: c.OutBytes,
				ForwardedPackets: c.Forwarded, PuntedPackets: c.Punted, DroppedPackets: c.Dropped,
				LostPackets: c.Lost,
			},
		})
	}
	return l
}

// ListRoutes implements the contract.
func (s *Server) ListRoutes(r *dataplanev1.ListRoutesRequest, stream grpc.ServerStreamingServer[dataplanev1.ListRoutesResponse]) error {
	f := r.GetFamily()
	if f != 0 && f != 4 && f != 6 {
		return status.Errorf(codes.InvalidArgument, "family is %d, not 0, 4 or 6", f)
	}
	b, err := s.await(stream.Context())
	if err != nil {
		return err
	}
	return b.Engine.Routes(f != 6, f != 4, func(routes []engine.Route) error {
		m := &dataplanev1.ListRoutesResponse{}
		for _, r := range routes {
			m.Routes = append(m.Routes, routeMessage(r))
		}
		return stream.Send(m)
	})
}

func routeMessage(r engine.Route) *dataplanev1.ForwardingRoute {
	m := &dataplanev1.ForwardingRoute{
		Prefix: append(r.Prefix.Addr().AsSlice(), byte(r.Prefix.Bits())),
		Group:  r.Group, Action: dataplanev1.Action(r.Action),
	}
	for _, h := range r.Hops {
		m.NextHops = append(m.NextHops, &dataplanev1.ResolvedNextHop{
			Interface: h.Interface, Address: h.Address.AsSlice(), Weight: h.Weight,
			Resolved: h.Resolved, HardwareAddress: h.MAC, Packets: h.Packets, Bytes: h.Bytes,
		})
	}
	return m
}

// Lookup implements the contract.
func (s *Server) Lookup(ctx context.Context, r *dataplanev1.LookupRequest) (*dataplanev1.LookupResponse, error) {
	a, ok := netip.AddrFromSlice(r.GetAddress())
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "an address has 4 or 16 bytes, not %d", len(r.GetAddress()))
	}
	b, err := s.await(ctx)
	if err != nil {
		return nil, err
	}
	route, found, err := b.Engine.Lookup(a)
	if err != nil {
		return nil, wire(err)
	}
	if !found {
		return &dataplanev1.LookupResponse{}, nil
	}
	return &dataplanev1.LookupResponse{Route: routeMessage(route)}, nil
}

// ListNeighbors implements the contract.
func (s *Server) ListNeighbors(ctx context.Context, _ *dataplanev1.ListNeighborsRequest) (*dataplanev1.ListNeighborsResponse, error) {
	b, err := s.await(ctx)
	if err != nil {
		return nil, err
	}
	m := &dataplanev1.ListNeighborsResponse{}
	for _, n := range b.Engine.Neighbors() {
		m.Neighbors = append(m.Neighbors, &dataplanev1.Neighbor{
			Interface: b.Engine.LinkName(n.Link), Address: n.Address.AsSlice(), HardwareAddress: n.MAC, State: n.State,
		})
	}
	return m, nil
}

// GetCounters implements the contract.
func (s *Server) GetCounters(ctx context.Context, _ *dataplanev1.GetCountersRequest) (*dataplanev1.GetCountersResponse, error) {
	b, err := s.await(ctx)
	if err != nil {
		return nil, err
	}
	c := b.Engine.Counters()
	m := &dataplanev1.GetCountersResponse{
		Drops: map[string]uint64{}, Punts: map[string]uint64{},
		ForwardedPackets: c.Reasons[tables.ReasonForwarded],
		Program:          hex.EncodeToString(b.Program.Hash[:]), Adopted: b.Program.Adopted,
		Audits: c.Audits, Repairs: c.Repairs,
	}
	for r := tables.ReasonForwarded + 1; r < tables.ReasonCount; r++ {
		if r.Dropped() {
			m.Drops[r.String()] = c.Reasons[r]
		} else {
			m.Punts[r.String()] = c.Reasons[r]
		}
	}
	for _, u := range append(c.Usage, b.Extra()...) {
		m.Tables = append(m.Tables, &dataplanev1.TableUsage{Name: u.Name, Used: uint64(u.Used), Limit: uint64(u.Limit)})
	}
	return m, nil
}

// failure is a batch that changed nothing.
func failure(sequence uint64, err error) *dataplanev1.Failure {
	f := &dataplanev1.Failure{Sequence: sequence, Reason: err.Error(), Code: int32(code.Code(codeOf(err)))}
	var at *engine.RouteError
	if errors.As(err, &at) {
		f.Route, f.Reason = at.Route, at.Err.Error()
	}
	return f
}
