// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
)

const (
	// fastest is the shortest sample and heartbeat interval.
	fastest = 100 * time.Millisecond
	// slowest is the longest; a longer one overflows what a client could have meant.
	slowest = 365 * 24 * time.Hour
)

// subscription is one entry of a SubscriptionList, bound to the model.
type subscription struct {
	paths []schema.Path
	// sample is the interval in SAMPLE mode, 0 on change.
	sample time.Duration
	// heartbeat is 0 for none.
	heartbeat time.Duration
	suppress  bool
}

// subscriptionList is what a client subscribed to.
type subscriptionList struct {
	mode        pb.SubscriptionList_Mode
	encoding    schema.Encoding
	prefix      *pb.Path
	updatesOnly bool
	entries     []subscription
}

// parseList checks a SubscriptionList whole; nothing of it is ignored.
func parseList(model *schema.Model, list *pb.SubscriptionList) (*subscriptionList, error) {
	encoding, err := encodingOf(list.GetEncoding())
	if err != nil {
		return nil, err
	}
	if err := checkModels(model, list.GetUseModels()); err != nil {
		return nil, err
	}
	if list.GetQos().GetMarking() != 0 {
		return nil, status.Error(codes.Unimplemented, "qos marking is not offered")
	}
	if _, known := pb.SubscriptionList_Mode_name[int32(list.GetMode())]; !known {
		return nil, status.Errorf(codes.InvalidArgument, "mode %d is none", list.GetMode())
	}
	if n := len(list.GetSubscription()); n == 0 || n > maxPaths {
		return nil, status.Errorf(codes.InvalidArgument, "%d subscriptions; want 1 to %d", n, maxPaths)
	}
	out := &subscriptionList{mode: list.GetMode(), encoding: encoding, updatesOnly: list.GetUpdatesOnly()}
	var paths []*pb.Path
	for _, s := range list.GetSubscription() {
		entry, err := parseEntry(model, list, s)
		if err != nil {
			return nil, readStatus(err)
		}
		out.entries = append(out.entries, entry)
		paths = append(paths, s.GetPath())
	}
	out.prefix = answerPrefix(list.GetPrefix(), paths...)
	return out, nil
}

func parseEntry(model *schema.Model, list *pb.SubscriptionList, s *pb.Subscription) (subscription, error) {
	var out subscription
	full, err := join(list.GetPrefix(), s.GetPath())
	if err != nil {
		return out, err
	}
	if out.paths, err = model.Match(full); err != nil {
		return out, err
	}
	if list.GetMode() != pb.SubscriptionList_STREAM {
		return out, nil
	}
	where := text(list.GetPrefix(), s.GetPath())
	if out.heartbeat, err = interval(where, "heartbeat_interval", s.GetHeartbeatInterval()); err != nil {
		return out, err
	}
	switch s.GetMode() {
	case pb.SubscriptionMode_SAMPLE:
		out.suppress = s.GetSuppressRedundant()
		if out.sample, err = interval(where, "sample_interval", s.GetSampleInterval()); out.sample == 0 {
			out.sample = fastest
		}
		return out, err
	case pb.SubscriptionMode_ON_CHANGE, pb.SubscriptionMode_TARGET_DEFINED:
		if s.GetSampleInterval() != 0 {
			return out, status.Errorf(codes.InvalidArgument, "%s: sample_interval is for the mode SAMPLE", where)
		}
		return out, nil
	}
	return out, status.Errorf(codes.InvalidArgument, "%s: mode %d is none", where, s.GetMode())
}

// interval reads nanoseconds; 0 stays 0.
func interval(where, field string, ns uint64) (time.Duration, error) {
	if ns != 0 && (ns < uint64(fastest) || ns > uint64(slowest)) {
		return 0, status.Errorf(codes.InvalidArgument, "%s: %s %d ns; want %d to %d, or 0", where, field, ns, fastest, slowest)
	}
	return time.Duration(ns), nil
}
