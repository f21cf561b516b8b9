// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package aggregate

import (
	"context"
	"sync"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"

	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/retry"
)

// maxToldErrors bounds how many refused leaves of one notification are logged.
const maxToldErrors = 3

// maxBatch is how many notifications are taken as one change at the most.
const maxBatch = 64

// follower follows one component.
type follower struct {
	aggregator *Aggregator
	name       string
	socket     string
	publisher  tree.Publisher
	cancel     context.CancelFunc
	ended      chan struct{}
	// first is closed when the first snapshot is complete.
	first chan struct{}
	once  sync.Once
}

// followOn subscribes again and again until ctx ends. The pauses grow while the component does not answer, and
// are short again once it did: one that was restarted often is followed as soon as one that never was.
func (f *follower) followOn(ctx context.Context) {
	for ctx.Err() == nil {
		answered, cancel := context.WithCancel(ctx)
		_ = retry.Forever(answered, f.aggregator.log, "follow the state of "+f.name, func(ctx context.Context) error {
			synced, err := f.run(ctx)
			if synced && ctx.Err() == nil {
				f.aggregator.log.Warn("a component's state is not followed any more, subscribing again", "from", f.name, "reason", err)
				cancel()
			}
			return err
		})
		cancel()
		// One that says all and ends at once must not keep a core busy.
		select {
		case <-time.After(retry.Shortest):
		case <-ctx.Done():
		}
	}
}

// run is one subscription, from the snapshot to the end of the stream. synced: the snapshot was complete.
func (f *follower) run(ctx context.Context) (synced bool, err error) {
	conn, err := f.aggregator.dial(f.socket)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := telemetryv1.NewTelemetryClient(conn).Subscribe(ctx, &telemetryv1.SubscribeRequest{})
	if err != nil {
		return false, err
	}
	if err := f.snapshot(stream); err != nil {
		return false, err
	}
	f.aggregator.synced.WithLabelValues(f.name).Set(1)
	defer f.aggregator.synced.WithLabelValues(f.name).Set(0)
	f.once.Do(func() { close(f.first) })
	return true, f.changes(ctx, stream)
}

type stream = grpc.ServerStreamingClient[telemetryv1.SubscribeResponse]

// snapshot takes everything up to synced as one change; what it lacks stands until the sweep.
func (f *follower) snapshot(st stream) error {
	var all []*pb.Notification
	for {
		message, err := st.Recv()
		if err != nil {
			return err
		}
		if message.GetSynced() != nil {
			break
		}
		if n := message.GetNotification(); n != nil {
			all = append(all, n)
		}
	}
	f.aggregator.feed.EditState(func(e *tree.StateEdit) {
		e.Resync(f.publisher)
		f.put(e, all)
	})
	return nil
}

// changes takes what comes after; what waits already is taken as one change. Once the component has settled it sweeps.
func (f *follower) changes(ctx context.Context, st stream) error {
	incoming := make(chan *pb.Notification, maxBatch)
	ended := make(chan error, 1)
	go func() {
		for {
			message, err := st.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case incoming <- message.GetNotification():
			case <-ctx.Done():
				return
			}
		}
	}()
	settled := time.NewTimer(f.aggregator.settling)
	defer settled.Stop()
	for {
		select {
		case <-settled.C:
			f.aggregator.feed.EditState(func(e *tree.StateEdit) { e.Sweep(f.publisher) })
		case n := <-incoming:
			batch := []*pb.Notification{n}
			for len(batch) < maxBatch && len(incoming) > 0 {
				batch = append(batch, <-incoming)
			}
			f.aggregator.feed.EditState(func(e *tree.StateEdit) { f.put(e, batch) })
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// put takes notifications; what does not fit the model is counted and told.
func (f *follower) put(e *tree.StateEdit, batch []*pb.Notification) {
	taken, refused := 0, 0
	for _, n := range batch {
		if n == nil {
			continue
		}
		errs := e.Put(f.publisher, n)
		taken += max(0, len(n.GetUpdate())-len(errs))
		for i, err := range errs {
			if refused+i < maxToldErrors {
				f.aggregator.log.Warn("a state leaf is refused", "from", f.name, "error", err)
			}
		}
		refused += len(errs)
	}
	f.aggregator.leaves.WithLabelValues(f.name, "taken").Add(float64(taken))
	f.aggregator.leaves.WithLabelValues(f.name, "refused").Add(float64(refused))
}
