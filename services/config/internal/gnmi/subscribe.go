// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"context"
	"errors"
	"io"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

type subscribeStream = grpc.BidiStreamingServer[pb.SubscribeRequest, pb.SubscribeResponse]

// Subscribe implements gNMI specification 3.5.
func (s *Server) Subscribe(stream subscribeStream) error {
	first, err := stream.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if first.GetSubscribe() == nil {
		return status.Error(codes.InvalidArgument, "the first message must carry a SubscriptionList")
	}
	if err := refuseExtensions(first.GetExtension()); err != nil {
		return err
	}
	list, err := parseList(s.feed.Model(), first.GetSubscribe())
	if err != nil {
		return err
	}
	s.metrics.subscribers.Inc()
	defer s.metrics.subscribers.Dec()
	out := &sender{
		stream: stream, encoding: list.encoding, prefix: list.prefix, metrics: s.metrics,
		unknown: time.Now(), byMoment: map[int64]*pb.Notification{},
	}
	switch list.mode {
	case pb.SubscriptionList_ONCE:
		return s.once(list, out)
	case pb.SubscriptionList_POLL:
		return s.poll(stream, list, out)
	}
	return s.stream(stream, list, out)
}

// once sends everything, says so, and ends.
func (s *Server) once(list *subscriptionList, out *sender) error {
	if !list.updatesOnly {
		snapshot(s.feed.View(), list, out)
	}
	return out.sync()
}

// poll sends everything now and whenever asked. With updates_only the first time is only the sync.
func (s *Server) poll(stream subscribeStream, list *subscriptionList, out *sender) error {
	for only := list.updatesOnly; ; only = false {
		if !only {
			snapshot(s.feed.View(), list, out)
		}
		if err := out.sync(); err != nil {
			return err
		}
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if request.GetPoll() == nil {
			return status.Error(codes.InvalidArgument, "want poll: a subscription cannot be changed")
		}
		if err := refuseExtensions(request.GetExtension()); err != nil {
			return err
		}
	}
}

// snapshot sends every leaf of a moment.
func snapshot(view tree.View, list *subscriptionList, out *sender) {
	for _, entry := range list.entries {
		for _, path := range entry.paths {
			if !view.Walk(path, tree.All, func(l *tree.Leaf) bool { return out.leaf(l, l.At) }) {
				return
			}
		}
	}
}

// listen reads a STREAM client's side, which has nothing more to say. The channel receives why the call
// must end; a client that only closes its side goes on listening.
func listen(stream subscribeStream) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err == nil:
			err = status.Error(codes.InvalidArgument, "a STREAM subscription takes no second message")
		case errors.Is(err, context.Canceled):
			err = status.Error(codes.Canceled, "the client ended the call")
		}
		ended <- err
	}()
	return ended
}
