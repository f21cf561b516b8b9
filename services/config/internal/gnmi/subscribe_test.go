// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

const octets = ge0 + "/state/counters/in-octets"

func TestOnce(t *testing.T) {
	d := furnished(t)
	l := list(pb.SubscriptionList_ONCE, 0, "/interfaces/interface[name=*]/config", "/system")
	l.Prefix = &pb.Path{Target: "router"}
	s := d.subscribe(l)
	h := s.untilSync()
	for path, want := range map[string]string{
		ge0 + "/config/mtu": "1400", ge0 + "/config/enabled": "true", "/interfaces/interface[name=ge1]/config/mtu": "1500",
	} {
		if h.values[path] != want {
			t.Errorf("%s is %q, want %q", path, h.values[path], want)
		}
	}
	for _, p := range h.prefixes {
		if p.GetTarget() != "router" {
			t.Errorf("prefix %v, want the target back", p)
		}
	}
	if err := s.end(); err != io.EOF {
		t.Errorf("the call ended with %v, want a clean end", err)
	}
	l.UpdatesOnly = true
	if h := d.subscribe(l).untilSync(); len(h.values) != 0 {
		t.Errorf("updates_only sent %v", h.values)
	}
}

func TestPoll(t *testing.T) {
	d := furnished(t)
	for _, only := range []bool{false, true} {
		l := list(pb.SubscriptionList_POLL, 0, octets)
		l.UpdatesOnly = only
		s := d.subscribe(l)
		if h := s.untilSync(); only != (len(h.values) == 0) {
			t.Errorf("updates_only %t: first %v", only, h.values)
		}
		for i := range 2 {
			d.publish(map[string]any{octets: 100 + i})
			if err := s.stream.Send(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Poll{Poll: &pb.Poll{}}}); err != nil {
				t.Fatal(err)
			}
			if h := s.untilSync(); h.values[octets] != fmt.Sprint(100+i) {
				t.Errorf("poll %d: %v", i, h.values)
			}
		}
		if err := s.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.end(); err != io.EOF {
			t.Errorf("the call ended with %v", err)
		}
	}
}

func TestOnChange(t *testing.T) {
	for _, mode := range []pb.SubscriptionMode{pb.SubscriptionMode_ON_CHANGE, pb.SubscriptionMode_TARGET_DEFINED} {
		d := furnished(t)
		s := d.subscribe(list(pb.SubscriptionList_STREAM, mode, "/interfaces/interface[name=*]", "/interfaces/interface[name=ge5]"))
		if h := s.untilSync(); h.values[octets] == "" || h.values[ge0+"/config/mtu"] != "1400" {
			t.Errorf("%s: the first sync lacks counters or configuration: %v", mode, h.values)
		}
		d.publish(map[string]any{octets: 5})
		if h := s.until(octets, "5"); len(h.values) != 1 {
			t.Errorf("%s: more than what changed: %v", mode, h.values)
		}
		// A leaf that returns to its default is an update; so are a new entry's defaults.
		d.configure(ge0+"/config/enabled", "false")
		s.until(ge0+"/config/enabled", "false")
		d.configure(ge0+"/config/enabled", "")
		s.until(ge0+"/config/enabled", "true")
		d.configure("/interfaces/interface[name=ge5]/config/mtu", "1234")
		s.until("/interfaces/interface[name=ge5]/config/enabled", "true")
		// Deletes are told leaf by leaf, defaults with them.
		d.configure("/interfaces/interface[name=ge5]", "")
		h := s.until("/interfaces/interface[name=ge5]/config/enabled", "deleted")
		for h.values["/interfaces/interface[name=ge5]/config/mtu"] != "deleted" || h.values["/interfaces/interface[name=ge5]/name"] != "deleted" {
			s.next(h)
		}
		d.publish(map[string]any{ge0 + "/state": nil})
		s.until(octets, "deleted")
		// The key is configuration too: it is still there.
		if v := s.until(octetsGone(d), "1").values[ge0+"/name"]; v == "deleted" {
			t.Errorf("%s: the key was deleted with the state", mode)
		}
	}
}

// octetsGone publishes a marker that ends what was told before.
func octetsGone(d *device) string {
	d.publish(map[string]any{"/interfaces/interface[name=ge1]/state/ifindex": 1})
	return "/interfaces/interface[name=ge1]/state/ifindex"
}

func TestOnChangeOfWhatIsNotThereYet(t *testing.T) {
	d := newDevice(t)
	l := list(pb.SubscriptionList_STREAM, pb.SubscriptionMode_ON_CHANGE, octets)
	l.UpdatesOnly = true
	s := d.subscribe(l)
	if h := s.untilSync(); len(h.values) != 0 {
		t.Errorf("updates_only sent %v first", h.values)
	}
	d.publish(map[string]any{octets: 1})
	s.until(octets, "1")
}

func TestHeartbeat(t *testing.T) {
	d := furnished(t)
	l := list(pb.SubscriptionList_STREAM, pb.SubscriptionMode_ON_CHANGE, octets)
	l.Subscription[0].HeartbeatInterval = uint64(fastest)
	s := d.subscribe(l)
	s.untilSync()
	for range 3 {
		s.until(octets, "1099511627776")
	}
}

func TestSample(t *testing.T) {
	d := furnished(t)
	l := list(pb.SubscriptionList_STREAM, pb.SubscriptionMode_SAMPLE, ge0+"/state/counters")
	s := d.subscribe(l)
	s.untilSync()
	for range 3 {
		s.until(octets, "1099511627776")
	}
	d.publish(map[string]any{octets: 2})
	s.until(octets, "2")
	d.publish(map[string]any{octets: nil})
	s.until(octets, "deleted")
	d.publish(map[string]any{octets: 3})
	s.until(octets, "3")
}

func TestSampleSuppressesWhatIsTheSame(t *testing.T) {
	d := furnished(t)
	l := list(pb.SubscriptionList_STREAM, pb.SubscriptionMode_SAMPLE, ge0+"/state")
	l.Subscription[0].SuppressRedundant = true
	l.Subscription[0].SampleInterval = uint64(fastest)
	s := d.subscribe(l)
	s.untilSync()
	d.publish(map[string]any{octets: 2})
	if h := s.until(octets, "2"); len(h.values) != 1 {
		t.Errorf("unchanged leaves were sent: %v", h.values)
	}
	l.Subscription[0].HeartbeatInterval = uint64(2 * fastest)
	s = d.subscribe(l)
	s.untilSync()
	s.until(ge0+"/state/ifindex", "7") // the heartbeat overrides
}

func TestSubscribeRefusals(t *testing.T) {
	d := furnished(t)
	good := func() *pb.SubscriptionList {
		return list(pb.SubscriptionList_STREAM, pb.SubscriptionMode_SAMPLE, ge0)
	}
	with := func(change func(*pb.SubscriptionList)) *pb.SubscriptionList {
		l := good()
		change(l)
		return l
	}
	for _, tt := range []struct {
		desc  string
		list  *pb.SubscriptionList
		want  codes.Code
		named string
	}{
		{"no subscription", with(func(l *pb.SubscriptionList) { l.Subscription = nil }), codes.InvalidArgument, "subscriptions"},
		{"path not in the model", with(func(l *pb.SubscriptionList) { l.Subscription[0].Path = gpath.MustParse("/weather") }), codes.Unimplemented, "/weather"},
		{"malformed path", with(func(l *pb.SubscriptionList) { l.Subscription[0].Path = gpath.MustParse("/interfaces/interface[id=1]") }), codes.InvalidArgument, "id"},
		{"encoding ASCII", with(func(l *pb.SubscriptionList) { l.Encoding = pb.Encoding_ASCII }), codes.Unimplemented, "ASCII"},
		{"too fast", with(func(l *pb.SubscriptionList) { l.Subscription[0].SampleInterval = 1000 }), codes.InvalidArgument, "sample_interval"},
		{"too slow", with(func(l *pb.SubscriptionList) { l.Subscription[0].SampleInterval = 1 << 63 }), codes.InvalidArgument, "sample_interval"},
		{"heartbeat too fast", with(func(l *pb.SubscriptionList) { l.Subscription[0].HeartbeatInterval = 1 }), codes.InvalidArgument, "heartbeat_interval"},
		{"target defined with interval", with(func(l *pb.SubscriptionList) {
			l.Subscription[0].Mode, l.Subscription[0].SampleInterval = pb.SubscriptionMode_TARGET_DEFINED, uint64(time.Second)
		}), codes.InvalidArgument, "sample_interval"},
		{"mode that is none", with(func(l *pb.SubscriptionList) { l.Subscription[0].Mode = 9 }), codes.InvalidArgument, "9"},
		{"list mode that is none", with(func(l *pb.SubscriptionList) { l.Mode = 9 }), codes.InvalidArgument, "9"},
		{"qos", with(func(l *pb.SubscriptionList) { l.Qos = &pb.QOSMarking{Marking: 10} }), codes.Unimplemented, "qos"},
		{"unknown model", with(func(l *pb.SubscriptionList) { l.UseModels = []*pb.ModelData{{Name: "weather"}} }), codes.Unimplemented, "weather"},
	} {
		err := d.subscribe(tt.list).end()
		if status.Code(err) != tt.want || !strings.Contains(status.Convert(err).Message(), tt.named) {
			t.Errorf("%s: %v; want %s and %q in the message", tt.desc, err, tt.want, tt.named)
		}
	}
}

func TestSubscribeOutOfOrder(t *testing.T) {
	d := furnished(t)
	other := d.subscribe(list(pb.SubscriptionList_STREAM, pb.SubscriptionMode_ON_CHANGE, octets))
	other.untilSync()
	for _, tt := range []struct {
		desc     string
		messages []*pb.SubscribeRequest
		want     codes.Code
	}{
		{"poll first", []*pb.SubscribeRequest{{Request: &pb.SubscribeRequest_Poll{Poll: &pb.Poll{}}}}, codes.InvalidArgument},
		{"nothing first", []*pb.SubscribeRequest{{}}, codes.InvalidArgument},
		{"a second list", []*pb.SubscribeRequest{
			{Request: &pb.SubscribeRequest_Subscribe{Subscribe: list(pb.SubscriptionList_STREAM, 0, octets)}},
			{Request: &pb.SubscribeRequest_Subscribe{Subscribe: list(pb.SubscriptionList_STREAM, 0, octets)}},
		}, codes.InvalidArgument},
		{"a second list in POLL", []*pb.SubscribeRequest{
			{Request: &pb.SubscribeRequest_Subscribe{Subscribe: list(pb.SubscriptionList_POLL, 0, octets)}},
			{Request: &pb.SubscribeRequest_Subscribe{Subscribe: list(pb.SubscriptionList_POLL, 0, octets)}},
		}, codes.InvalidArgument},
		{"an extension", []*pb.SubscribeRequest{{
			Request:   &pb.SubscribeRequest_Subscribe{Subscribe: list(pb.SubscriptionList_STREAM, 0, octets)},
			Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_History{}}},
		}}, codes.Unimplemented},
	} {
		stream, err := d.client.Subscribe(d.context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tt.messages {
			if err := stream.Send(m); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		if err := (&subscriber{t: t, stream: stream}).end(); status.Code(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.desc, err, tt.want)
		}
	}
	// The other call did not notice.
	d.publish(map[string]any{octets: 77})
	other.until(octets, "77")
}

// TestSlowSubscriberIsCoalesced publishes far more than a stalled stream takes: what waits is the newest
// value of each leaf, and how many were skipped is told.
func TestSlowSubscriberIsCoalesced(t *testing.T) {
	d := furnished(t)
	s := d.subscribe(list(pb.SubscriptionList_STREAM, pb.SubscriptionMode_ON_CHANGE, octets, ge0+"/config/description"))
	s.untilSync()
	// Large values fill the transport, so that the server stalls.
	const changes = 2000
	for i := range changes {
		d.configure(ge0+"/config/description", fmt.Sprintf("%q", strings.Repeat("x", 4000)+fmt.Sprint(i)))
		d.publish(map[string]any{octets: i})
	}
	total := newHeard()
	messages := 0
	for total.values[octets] != fmt.Sprint(changes-1) || !strings.HasSuffix(total.values[ge0+"/config/description"], fmt.Sprint("x", changes-1)) {
		s.next(total)
		messages++
	}
	if total.duplicates == 0 || messages >= 2*changes {
		t.Errorf("%d messages, %d duplicates of %d changes: nothing was coalesced", messages, total.duplicates, 2*changes)
	}
}
