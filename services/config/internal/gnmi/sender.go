// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"

	"github.com/ashlar-nos/ashlar/services/config/internal/feed"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

// bundle is how many leaves wait before they are sent, and so the most in one notification.
const bundle = 256

// sender writes leaves to one subscriber. Leaves of the same moment share a notification, since that has
// one timestamp (gNMI specification 3.5.2.1). It belongs to one goroutine.
type sender struct {
	stream   grpc.ServerStreamingServer[pb.SubscribeResponse]
	encoding schema.Encoding
	prefix   *pb.Path
	metrics  *Metrics
	// unknown is the timestamp of defaults, which never changed.
	unknown time.Time

	waiting  []*pb.Notification
	byMoment map[int64]*pb.Notification
	leaves   int
	err      error
}

func (o *sender) at(moment time.Time) *pb.Notification {
	if moment.IsZero() {
		moment = o.unknown
	}
	ns := moment.UnixNano()
	n := o.byMoment[ns]
	if n == nil {
		n = &pb.Notification{Timestamp: ns, Prefix: o.prefix}
		o.byMoment[ns] = n
		o.waiting = append(o.waiting, n)
	}
	return n
}

// leaf sends a leaf's value as of a moment. It returns false once the stream is broken.
func (o *sender) leaf(l *tree.Leaf, moment time.Time) bool {
	n := o.at(moment)
	n.Update = append(n.Update, &pb.Update{Path: l.GNMI(), Val: l.Value.TypedValue(o.encoding)})
	return o.count()
}

// event sends a change.
func (o *sender) event(e feed.Event) bool {
	n := o.at(e.At)
	if e.Value.IsNone() {
		n.Delete = append(n.Delete, e.Path.GNMI())
		return o.count()
	}
	n.Update = append(n.Update, &pb.Update{
		Path: e.Path.GNMI(), Val: e.Value.TypedValue(o.encoding), Duplicates: e.Duplicates,
	})
	o.metrics.coalesced.Add(float64(e.Duplicates))
	return o.count()
}

// gone sends a delete.
func (o *sender) gone(path *pb.Path, moment time.Time) bool {
	n := o.at(moment)
	n.Delete = append(n.Delete, path)
	return o.count()
}

func (o *sender) count() bool {
	if o.leaves++; o.leaves >= bundle {
		o.flush()
	}
	return o.err == nil
}

// flush sends what waits.
func (o *sender) flush() error {
	for _, n := range o.waiting {
		if o.err == nil {
			o.err = o.stream.Send(&pb.SubscribeResponse{Response: &pb.SubscribeResponse_Update{Update: n}})
		}
	}
	o.metrics.updates.Add(float64(o.leaves))
	o.waiting, o.leaves = o.waiting[:0], 0
	clear(o.byMoment)
	return o.err
}

// sync sends what waits and says that this was all.
func (o *sender) sync() error {
	if err := o.flush(); err != nil {
		return err
	}
	o.err = o.stream.Send(&pb.SubscribeResponse{Response: &pb.SubscribeResponse_SyncResponse{SyncResponse: true}})
	return o.err
}
