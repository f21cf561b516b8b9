// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package dataplanetest is a dataplane for tests: the real contract over gRPC in front of a strict table
// in memory, that can lag, refuse, go away and come back. It is safe for concurrent use.
package dataplanetest

import (
	"fmt"
	"net/netip"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib/fibtest"
)

// Dataplane is the fake.
type Dataplane struct {
	dataplanev1.UnimplementedDataplaneServer

	mu         sync.Mutex
	engine     *fibtest.Engine
	token      uint64
	opened     uint64 // generation of the session
	generation uint64 // whose end of sync was applied
	streams    int
	batches    int
	largest    int
	current    chan struct{}
	away       bool
	gate       chan struct{} // closed: acknowledgements flow
}

// New returns a dataplane with empty tables.
func New() *Dataplane {
	open := make(chan struct{})
	close(open)
	return &Dataplane{engine: fibtest.New(), gate: open}
}

// Engine gives the tables to f, under the lock.
func (d *Dataplane) Engine(f func(e *fibtest.Engine)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d.engine)
}

// Content is what happens to packets for a prefix.
func (d *Dataplane) Content(prefix string) (c fib.Content, ok bool) {
	d.Engine(func(e *fibtest.Engine) { c, ok = e.Content(netip.MustParsePrefix(prefix)) })
	return c, ok
}

// Generation is the one whose end of sync was last applied.
func (d *Dataplane) Generation() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.generation
}

// Streams counts the sessions so far, Batches the transactions and the largest of them in routes.
func (d *Dataplane) Streams() (streams, batches, largest int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.streams, d.batches, d.largest
}

// Kill ends the session, and refuses new ones until Revive. The tables stay.
func (d *Dataplane) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = true
	d.end()
}

// Revive lets sessions begin again.
func (d *Dataplane) Revive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = false
}

// Hold keeps transactions from being applied until the returned function is called.
func (d *Dataplane) Hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate = gate
	var once sync.Once
	return func() { once.Do(func() { close(gate) }) }
}

// end ends the current stream. The caller holds the lock.
func (d *Dataplane) end() {
	if d.current != nil {
		close(d.current)
		d.current = nil
	}
}

type stream = grpc.BidiStreamingServer[dataplanev1.ProgramRequest, dataplanev1.ProgramResponse]

// Program implements the contract.
func (d *Dataplane) Program(st stream) error {
	m, err := st.Recv()
	if err != nil {
		return err
	}
	opened, ended, err := d.open(m.GetOpen())
	if err != nil {
		return err
	}
	if err := st.Send(&dataplanev1.ProgramResponse{Message: &dataplanev1.ProgramResponse_Opened{Opened: opened}}); err != nil {
		return err
	}
	requests := make(chan *dataplanev1.ProgramRequest)
	go func() {
		defer close(requests)
		for {
			m, err := st.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- m:
			case <-ended:
				return
			}
		}
	}()
	for {
		select {
		case <-ended:
			return status.Error(codes.Unavailable, "killed")
		case m, ok := <-requests:
			if !ok {
				return nil
			}
			if err := d.handle(st, ended, m); err != nil {
				return err
			}
		}
	}
}

func (d *Dataplane) open(o *dataplanev1.Open) (*dataplanev1.Opened, chan struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case o == nil:
		return nil, nil, status.Error(codes.InvalidArgument, "want open first")
	case d.away:
		return nil, nil, status.Error(codes.Unavailable, "away")
	case o.GetFencingToken() < d.token:
		return nil, nil, status.Error(codes.FailedPrecondition, "stale token")
	case o.GetGeneration() <= d.generation:
		return nil, nil, status.Errorf(codes.FailedPrecondition, "generation %d was synchronised", d.generation)
	}
	d.end()
	d.token = o.GetFencingToken()
	d.streams++
	d.opened = o.GetGeneration()
	d.engine.Open()
	d.current = make(chan struct{})
	return &dataplanev1.Opened{Generation: d.generation, Routes: uint64(len(d.engine.Routes))}, d.current, nil
}

func (d *Dataplane) handle(st stream, ended chan struct{}, m *dataplanev1.ProgramRequest) error {
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	select {
	case <-gate:
	case <-ended:
		return status.Error(codes.Unavailable, "killed")
	}
	a, err := d.apply(m)
	if err != nil {
		return err
	}
	return st.Send(&dataplanev1.ProgramResponse{Message: &dataplanev1.ProgramResponse_Acknowledged{Acknowledged: a}})
}

func (d *Dataplane) apply(m *dataplanev1.ProgramRequest) (*dataplanev1.Acknowledged, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if end := m.GetEndOfSync(); end != nil {
		d.engine.EndOfSync()
		d.generation = d.opened
		return &dataplanev1.Acknowledged{Sequence: end.GetSequence()}, nil
	}
	b := m.GetBatch()
	if b == nil {
		return nil, status.Errorf(codes.InvalidArgument, "%T", m.GetMessage())
	}
	var groups []fibtest.GroupWrite
	for _, g := range b.GetGroups() {
		groups = append(groups, groupOf(g))
	}
	routes, err := routesOf(nil, b.GetV4(), 4)
	if err == nil {
		routes, err = routesOf(routes, b.GetV6(), 16)
	}
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	d.batches++
	d.largest = max(d.largest, len(routes))
	a := &dataplanev1.Acknowledged{Sequence: b.GetSequence()}
	if f := d.engine.Apply(groups, routes); f != nil {
		a.Failures = append(a.Failures, &dataplanev1.Failure{
			Sequence: b.GetSequence(), Route: f.Route, Reason: f.Reason, Code: f.Code,
		})
	}
	return a, nil
}

func groupOf(w *dataplanev1.NextHopGroup) fibtest.GroupWrite {
	g := fibtest.GroupWrite{ID: w.GetId(), Content: fib.Content{Action: fib.Action(w.GetAction())}}
	for _, h := range w.GetNextHops() {
		a, _ := netip.AddrFromSlice(h.GetAddress())
		g.Content.Hops = append(g.Content.Hops, fib.Hop{Interface: h.GetInterface(), Address: a, Weight: h.GetWeight()})
	}
	return g
}

func routesOf(to []fibtest.RouteWrite, c *dataplanev1.RouteColumns, octets int) ([]fibtest.RouteWrite, error) {
	if len(c.GetPrefixes()) != len(c.GetGroups())*(octets+1) || len(c.GetWithdrawn())%(octets+1) != 0 {
		return nil, fmt.Errorf("%d bytes of prefixes, %d groups, %d bytes withdrawn", len(c.GetPrefixes()), len(c.GetGroups()), len(c.GetWithdrawn()))
	}
	for i, id := range c.GetGroups() {
		if id == 0 {
			return nil, fmt.Errorf("group 0")
		}
		to = append(to, fibtest.RouteWrite{Prefix: prefixAt(c.GetPrefixes(), i, octets), Group: id})
	}
	for i := range len(c.GetWithdrawn()) / (octets + 1) {
		to = append(to, fibtest.RouteWrite{Prefix: prefixAt(c.GetWithdrawn(), i, octets)})
	}
	return to, nil
}

func prefixAt(column []byte, i, octets int) netip.Prefix {
	at := column[i*(octets+1):]
	a, _ := netip.AddrFromSlice(at[:octets])
	return netip.PrefixFrom(a, int(at[octets]))
}
