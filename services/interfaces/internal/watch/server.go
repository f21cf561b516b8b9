// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package watch serves ashlar.interfaces.v1: the truth about ports and their addresses for those that
// route.
//
// The server keeps the newest state of each interface. Each stream has a set of names to send, so that a
// slow reader costs memory bounded by the number of interfaces and gets the newest state. All methods are
// safe for concurrent use and none blocks on a reader.
package watch

import (
	"context"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/reconcile"
)

// Server holds the interfaces and their readers.
type Server struct {
	interfacesv1.UnimplementedInterfacesServer

	mu         sync.Mutex
	interfaces map[string]*interfacesv1.Interface
	readers    map[*reader]struct{}
	whole      chan struct{}
	closed     chan struct{}
	once       struct{ whole, closed sync.Once }
}

// reader is one stream. dirty is guarded by the server's lock.
type reader struct {
	dirty map[string]struct{}
	wake  chan struct{}
}

// New returns a server without interfaces. Readers wait until Complete.
func New() *Server {
	return &Server{
		interfaces: map[string]*interfacesv1.Interface{}, readers: map[*reader]struct{}{},
		whole: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Complete says that the configuration has arrived: what is there is all there is.
func (s *Server) Complete() { s.once.whole.Do(func() { close(s.whole) }) }

// Close ends all streams with UNAVAILABLE.
func (s *Server) Close() { s.once.closed.Do(func() { close(s.closed) }) }

// Tell takes the newest view of an interface, nil when it is no longer configured.
func (s *Server) Tell(name string, v *reconcile.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v == nil {
		delete(s.interfaces, name)
	} else {
		next := wire(v)
		if proto.Equal(next, s.interfaces[name]) {
			return
		}
		s.interfaces[name] = next
	}
	for r := range s.readers {
		r.dirty[name] = struct{}{}
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Watch implements the contract.
func (s *Server) Watch(_ *interfacesv1.WatchRequest, stream grpc.ServerStreamingServer[interfacesv1.WatchResponse]) error {
	if err := s.await(stream.Context(), s.whole); err != nil {
		return err
	}
	r := s.join()
	defer s.leave(r)
	if err := s.send(stream, r); err != nil {
		return err
	}
	synced := &interfacesv1.WatchResponse{Message: &interfacesv1.WatchResponse_Synced{Synced: &interfacesv1.Synced{}}}
	if err := stream.Send(synced); err != nil {
		return err
	}
	for {
		if err := s.await(stream.Context(), r.wake); err != nil {
			return err
		}
		if err := s.send(stream, r); err != nil {
			return err
		}
	}
}

func (s *Server) await(ctx context.Context, event <-chan struct{}) error {
	select {
	case <-event:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-s.closed:
		return status.Error(codes.Unavailable, "the interface manager is stopping")
	}
}

func (s *Server) send(stream grpc.ServerStreamingServer[interfacesv1.WatchResponse], r *reader) error {
	for _, m := range s.take(r) {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) join() *reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &reader{dirty: map[string]struct{}{}, wake: make(chan struct{}, 1)}
	for name := range s.interfaces {
		r.dirty[name] = struct{}{}
	}
	s.readers[r] = struct{}{}
	return r
}

func (s *Server) leave(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r)
}

// take empties the reader's set.
func (s *Server) take(r *reader) []*interfacesv1.WatchResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*interfacesv1.WatchResponse
	for _, name := range slices.Sorted(maps.Keys(r.dirty)) {
		m := &interfacesv1.WatchResponse{Message: &interfacesv1.WatchResponse_Removed{Removed: name}}
		if i, ok := s.interfaces[name]; ok {
			m.Message = &interfacesv1.WatchResponse_Interface{Interface: i}
		}
		all = append(all, m)
	}
	clear(r.dirty)
	return all
}
