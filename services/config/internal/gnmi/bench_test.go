// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"fmt"
	"testing"

	pb "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// large is a device with a thousand interfaces and their counters.
func large(b *testing.B) *device {
	b.Helper()
	d := newDevice(b)
	for i := range 1000 {
		port := fmt.Sprintf("/interfaces/interface[name=ge%d]", i)
		d.configure(port+"/config/mtu", "1400")
		values := map[string]any{port + "/state/mtu": 1400, port + "/state/oper-status": "UP"}
		for _, counter := range []string{"in-octets", "in-pkts", "out-octets", "out-pkts", "in-errors", "out-errors"} {
			values[port+"/state/counters/"+counter] = i
		}
		d.publish(values)
	}
	return d
}

func BenchmarkGetLeaf(b *testing.B) {
	d := large(b)
	request := &pb.GetRequest{Path: []*pb.Path{gpath.MustParse("/interfaces/interface[name=ge500]/config/mtu")}}
	for b.Loop() {
		if _, err := d.client.Get(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOnce reads the whole device; it reports the time for one leaf.
func BenchmarkOnce(b *testing.B) {
	d := large(b)
	leaves := 0
	for b.Loop() {
		stream, err := d.client.Subscribe(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		request := &pb.SubscribeRequest{Request: &pb.SubscribeRequest_Subscribe{Subscribe: list(pb.SubscriptionList_ONCE, 0, "/")}}
		if err := stream.Send(request); err != nil {
			b.Fatal(err)
		}
		for synced := false; !synced; {
			m, err := stream.Recv()
			if err != nil {
				b.Fatal(err)
			}
			leaves += len(m.GetUpdate().GetUpdate())
			synced = m.GetSyncResponse()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(leaves), "ns/leaf")
}

// BenchmarkOnChange publishes 6,000 counters at a time to one on-change subscriber; it reports the time for one
// leaf, from the publisher's notification to the client.
func BenchmarkOnChange(b *testing.B) {
	d := large(b)
	s := d.subscribe(list(pb.SubscriptionList_STREAM, pb.SubscriptionMode_ON_CHANGE, "/interfaces"))
	s.untilSync()
	// Two notifications in turn, so that every leaf changes each time.
	var turns [2]*pb.Notification
	for n := range turns {
		turns[n] = &pb.Notification{Timestamp: int64(n + 1)}
		for i := range 1000 {
			for _, counter := range []string{"in-octets", "in-pkts", "out-octets", "out-pkts", "in-errors", "out-errors"} {
				turns[n].Update = append(turns[n].Update, &pb.Update{
					Path: gpath.MustParse(fmt.Sprintf("/interfaces/interface[name=ge%d]/state/counters/%s", i, counter)),
					Val:  &pb.TypedValue{Value: &pb.TypedValue_UintVal{UintVal: uint64(1e6 + n)}},
				})
			}
		}
	}
	batch := len(turns[0].GetUpdate())
	n := 0
	for b.Loop() {
		n++
		d.feed.EditState(func(e *tree.StateEdit) { e.Put(1, turns[n%2]) })
		for heard := 0; heard < batch; {
			m, err := s.stream.Recv()
			if err != nil {
				b.Fatal(err)
			}
			heard += len(m.GetUpdate().GetUpdate())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/leaf")
}
