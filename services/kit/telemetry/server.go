// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
)

// notificationSize is how many updates go into one notification at the most.
const notificationSize = 512

// subscriber is one stream. Its fields but changed are guarded by the publisher's lock.
type subscriber struct {
	dirty   map[string]struct{}
	deleted map[string]int64
	changed chan struct{}
}

func (s *subscriber) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Server serves ashlar.telemetry.v1 from a publisher.
type Server struct {
	telemetryv1.UnimplementedTelemetryServer
	publisher *Publisher
}

// NewServer returns the server of a publisher.
func NewServer(p *Publisher) *Server { return &Server{publisher: p} }

// Subscribe implements the contract: the state, synced, then changes.
func (s *Server) Subscribe(_ *telemetryv1.SubscribeRequest, stream grpc.ServerStreamingServer[telemetryv1.SubscribeResponse]) error {
	sub := s.publisher.join()
	defer s.publisher.leave(sub)
	if err := send(stream, s.publisher.take(sub)); err != nil {
		return err
	}
	synced := &telemetryv1.SubscribeResponse{Message: &telemetryv1.SubscribeResponse_Synced{Synced: &telemetryv1.Synced{}}}
	if err := stream.Send(synced); err != nil {
		return err
	}
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case <-s.publisher.ended:
			return status.Error(codes.Unavailable, "the component drains")
		case <-sub.changed:
			if err := send(stream, s.publisher.take(sub)); err != nil {
				return err
			}
		}
	}
}

func send(stream grpc.ServerStreamingServer[telemetryv1.SubscribeResponse], notifications []*gnmi.Notification) error {
	for _, n := range notifications {
		if err := stream.Send(&telemetryv1.SubscribeResponse{Message: &telemetryv1.SubscribeResponse_Notification{Notification: n}}); err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) join() *subscriber {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &subscriber{dirty: map[string]struct{}{}, deleted: map[string]int64{}, changed: make(chan struct{}, 1)}
	for path := range p.leaves {
		s.dirty[path] = struct{}{}
	}
	p.subscribers[s] = struct{}{}
	return s
}

func (p *Publisher) leave(s *subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.subscribers, s)
}

// take empties the subscriber's set. Deletes come before updates: a leaf that was deleted and set again
// is deleted and then sent.
func (p *Publisher) take(s *subscriber) []*gnmi.Notification {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := batcher{byTime: map[int64]*gnmi.Notification{}}
	for root, at := range s.deleted {
		b.delete(root, at)
	}
	b.flush()
	for path := range s.dirty {
		if l, ok := p.leaves[path]; ok {
			b.update(l)
		}
	}
	b.flush()
	clear(s.deleted)
	clear(s.dirty)
	return b.done
}
