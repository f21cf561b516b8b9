// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package ports tells the dataplane which ports forward, and keeps telling: after each change, after the
// dataplane's restart, and now and then, since what was said once may have been lost.
package ports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
)

const (
	// callLimit bounds one call, the wait for the dataplane included.
	callLimit = 2 * time.Second
	// refresh is how often the set is said again when nothing happened.
	refresh = 5 * time.Second
	// pause spaces failing calls.
	pause = 100 * time.Millisecond
)

// Port is one port that forwards.
type Port struct {
	Name string
	// Enabled: packets that arrive are forwarded.
	Enabled bool
	// MTU in bytes of layer 3; 0 means the link's.
	MTU uint32
}

// Conn is a client connection whose state can be followed; *grpc.ClientConn is one.
type Conn interface {
	grpc.ClientConnInterface
	GetState() connectivity.State
	WaitForStateChange(ctx context.Context, from connectivity.State) bool
	Connect()
}

// Syncer holds the wanted set and what the dataplane said to it. Safe for concurrent use.
type Syncer struct {
	conn  Conn
	token func(context.Context) (uint64, error)
	log   *slog.Logger

	mu      sync.Mutex
	wanted  []Port
	version uint64
	// accepted is the version that the dataplane of the present connection took; refused is why not.
	accepted uint64
	refused  error
	reasons  map[string]string
	// changed is closed and replaced whenever one of the above changes.
	changed chan struct{}
}

// NewSyncer returns a syncer that says nothing before the first Set.
func NewSyncer(conn Conn, token func(context.Context) (uint64, error), log *slog.Logger) *Syncer {
	return &Syncer{conn: conn, token: token, log: log, changed: make(chan struct{}), reasons: map[string]string{}}
}

// Set replaces the wanted set, in order of names. It reports whether that is a change.
func (s *Syncer) Set(ports []Port) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version > 0 && slices.Equal(s.wanted, ports) {
		return false
	}
	s.wanted = ports
	s.version++
	s.refused = nil
	s.notify()
	return true
}

func (s *Syncer) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Accepted returns nil when the dataplane has taken the wanted set; else why not.
func (s *Syncer) Accepted() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outcome()
}

func (s *Syncer) outcome() error {
	switch {
	case s.version == 0:
		return errors.New("no ports are known yet")
	case s.accepted == s.version:
		return nil
	case s.refused != nil:
		return fmt.Errorf("the dataplane has not taken the ports: %w", s.refused)
	}
	return errors.New("the dataplane has not taken the ports yet")
}

// Await waits until the dataplane has taken the wanted set. The error says why it has not when ctx ended.
func (s *Syncer) Await(ctx context.Context) error {
	for {
		s.mu.Lock()
		err, changed := s.outcome(), s.changed
		s.mu.Unlock()
		if err == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return err
		}
	}
}

// Run tells the dataplane until ctx ends.
func (s *Syncer) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.follow(ctx) })
	for ctx.Err() == nil {
		wait := s.say(ctx)
		s.mu.Lock()
		changed, current := s.changed, s.accepted == s.version
		s.mu.Unlock()
		if !current && wait == 0 {
			continue
		}
		s.sleep(ctx, changed, wait, current)
	}
}

// sleep waits for a change, and for time to pass. While the dataplane refuses, only time counts.
func (s *Syncer) sleep(ctx context.Context, changed <-chan struct{}, wait time.Duration, current bool) {
	if current {
		wait = refresh
	} else {
		changed = nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-t.C:
	}
}

// follow forgets what was accepted whenever the connection comes or goes: the dataplane behind the next
// one may be another.
func (s *Syncer) follow(ctx context.Context) {
	for state := s.conn.GetState(); s.conn.WaitForStateChange(ctx, state); {
		next := s.conn.GetState()
		if state == connectivity.Ready || next == connectivity.Ready {
			s.mu.Lock()
			s.accepted = 0
			s.notify()
			s.mu.Unlock()
		}
		s.conn.Connect()
		state = next
	}
}

// say makes one call. It returns how long to wait before the next after a failure.
func (s *Syncer) say(ctx context.Context) time.Duration {
	s.mu.Lock()
	version, wanted, changed := s.version, s.wanted, s.changed
	s.mu.Unlock()
	if version == 0 {
		select {
		case <-changed:
		case <-ctx.Done():
		}
		return 0
	}
	response, err := s.call(ctx, wanted)
	if ctx.Err() != nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.refused == nil || s.refused.Error() != err.Error() {
			s.log.Warn("the dataplane has not taken the ports; it will be told again", "error", err)
		}
		s.refused, s.accepted = err, 0
		s.notify()
		return pause
	}
	if s.accepted != version {
		s.accepted = version
		s.notify()
	}
	s.explain(response)
	return 0
}

func (s *Syncer) call(ctx context.Context, wanted []Port) (*dataplanev1.SetPortsResponse, error) {
	token, err := s.token(ctx)
	if err != nil {
		return nil, err
	}
	request := &dataplanev1.SetPortsRequest{FencingToken: token}
	for _, p := range wanted {
		request.Ports = append(request.Ports, &dataplanev1.Port{Name: p.Name, Enabled: p.Enabled, Mtu: p.MTU})
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return dataplanev1.NewDataplaneClient(s.conn).SetPorts(ctx, request, grpc.WaitForReady(true))
}

// explain logs, once for each reason, the ports that the dataplane took but does not forward on.
func (s *Syncer) explain(response *dataplanev1.SetPortsResponse) {
	reasons := map[string]string{}
	for _, p := range response.GetPorts() {
		if p.GetReason() == "" || p.GetAttached() {
			continue
		}
		reasons[p.GetName()] = p.GetReason()
		if s.reasons[p.GetName()] != p.GetReason() {
			s.log.Info("the dataplane does not forward on a port", "interface", p.GetName(), "reason", p.GetReason())
		}
	}
	s.reasons = reasons
}
