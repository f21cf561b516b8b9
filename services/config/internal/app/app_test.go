// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

const (
	ifaces = "/interfaces/interface[name=*]"
	system = "/system/config"
	ge0    = "/interfaces/interface[name=ge0]"
	ge0mtu = ge0 + "/config/mtu"
	host   = "/system/config/hostname"
)

// furnished is a device with two owners that are attached.
func furnished(t testing.TB, die string) (d *device, ports, machine *kernel) {
	t.Helper()
	d = newDevice(t)
	d.startState()
	d.startConfig(die)
	d.waitReady()
	ports, o1 := d.own(ifaces)
	machine, o2 := d.own(system)
	awaitRestored(t, o1, o2)
	return d, ports, machine
}

func awaitRestored(t testing.TB, all ...*owner.Owner) {
	t.Helper()
	eventually(t, "owners attach", func() error {
		for _, o := range all {
			if !o.Restored() {
				return errors.New("one is not restored")
			}
		}
		return nil
	})
}

// firstSet makes the first Set, once the owners' answers have arrived.
func (d *device) firstSet(client pb.GNMIClient, values ...string) {
	d.t.Helper()
	eventually(d.t, "the first Set", func() error { return d.set(client, values...) })
}

func want(t *testing.T, what, got, part string) {
	t.Helper()
	if !strings.Contains(got, part) {
		t.Errorf("%s is %q, want %q in it", what, got, part)
	}
}

func TestDevice(t *testing.T) {
	d, ports, machine := furnished(t, "never")
	client := d.gnmi()
	d.firstSet(client, ge0mtu, "1400", host, `"quarry"`)
	want(t, "what ports has", ports.has(ge0), `"mtu":1400`)
	want(t, "what the machine has", machine.has(system), "quarry")
	if err := d.set(client, "/network-instances/network-instance[name=DEFAULT]/config/name", `"DEFAULT"`); status.Code(err) != codes.Unimplemented {
		t.Errorf("a path without an owner: %v, want Unimplemented", err)
	}
	// State comes from the component that publishes it, beside the configuration.
	d.ports.Publish(time.Now(), map[string]any{ge0 + "/state/name": "ge0", ge0 + "/state/oper-status": "UP"})
	eventually(t, "state", func() error {
		got, err := d.get(client, ge0)
		if err == nil && !(strings.Contains(got, "oper-status") && strings.Contains(got, "1400")) {
			err = errors.New(got)
		}
		return err
	})
	// The stored configuration outlives both processes.
	d.config.kill()
	d.state.kill()
	d.startState()
	d.startConfig("never")
	d.waitReady()
	if got, err := d.get(client, ge0mtu); err != nil || got != "1400" {
		t.Errorf("after a restart of both: %q, %v", got, err)
	}
	if got, err := d.get(client, ge0+"/state/oper-status"); err != nil || got != `"UP"` {
		t.Errorf("state after a restart: %q, %v", got, err)
	}
}

// TestKilledInACommit lets configd kill itself at each point of a commit. The client's call is lost; what
// the successor has is all of it or nothing, the same everywhere.
func TestKilledInACommit(t *testing.T) {
	for point, all := range map[string]bool{"prepared": false, "decided": true, "applied": true} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			d, ports, machine := furnished(t, point+":2")
			client := d.gnmi()
			d.firstSet(client, ge0mtu, "1400", host, `"quarry"`)
			if err := d.set(client, ge0mtu, "1300", host, `"cliff"`); status.Code(err) != codes.Unavailable {
				t.Errorf("the call that was cut: %v, want Unavailable", err)
			}
			<-d.config.done
			d.startConfig("never")
			d.waitReady()
			mtu, name := "1400", "quarry"
			if all {
				mtu, name = "1300", "cliff"
			}
			for path, part := range map[string]string{ge0mtu: mtu, host: name} {
				got, err := d.get(client, path)
				if err != nil {
					t.Error(err)
				}
				want(t, path, got, part)
			}
			want(t, "what ports has", ports.has(ge0), mtu)
			want(t, "what the machine has", machine.has(system), name)
			d.firstSet(client, ge0mtu, "1200")
			want(t, "what ports has", ports.has(ge0), "1200")
		})
	}
}

// TestStoreKilledUnderSets kills the state store while clients set, again and again. A Set that was acknowledged
// is there; the values of one client never go back.
func TestStoreKilledUnderSets(t *testing.T) {
	d, _, _ := furnished(t, "never")
	client := d.gnmi()
	d.firstSet(client, ge0mtu, "1000")
	stop := make(chan struct{})
	var wait sync.WaitGroup
	var acknowledged [4]atomic.Int64
	for c := range acknowledged {
		wait.Go(func() {
			for i := 1000; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				err := d.set(client, fmt.Sprintf("/interfaces/interface[name=ge%d]/config/mtu", c), fmt.Sprint(i))
				switch status.Code(err) {
				case codes.OK:
					acknowledged[c].Store(int64(i))
				case codes.Unavailable:
				default:
					t.Errorf("Set: %v, want it done or Unavailable", err)
				}
			}
		})
	}
	for range 3 {
		before := acknowledged[0].Load()
		eventually(t, "Sets are under way", func() error {
			if acknowledged[0].Load() < before+3 {
				return errors.New("too few")
			}
			return nil
		})
		d.state.kill()
		d.startState()
	}
	d.firstSet(client, host, `"quarry"`)
	close(stop)
	wait.Wait()
	d.config.kill()
	d.startConfig("never")
	d.waitReady()
	for c := range acknowledged {
		last := acknowledged[c].Load()
		got, err := d.get(client, fmt.Sprintf("/interfaces/interface[name=ge%d]/config/mtu", c))
		if err != nil || got < fmt.Sprint(last) || last == 0 {
			t.Errorf("client %d: %q, %v; %d was acknowledged", c, got, err, last)
		}
	}
}

func TestSubscribersSeeBothTrees(t *testing.T) {
	d, _, _ := furnished(t, "never")
	client := d.gnmi()
	stream, err := client.Subscribe(d.context())
	check(t, err)
	check(t, stream.Send(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Subscribe{Subscribe: &pb.SubscriptionList{
		Encoding: pb.Encoding_PROTO,
		Subscription: []*pb.Subscription{{
			Path: gpath.MustParse(ge0), Mode: pb.SubscriptionMode_ON_CHANGE,
		}},
	}}}))
	values := map[string]bool{}
	until := func(path string) {
		t.Helper()
		for !values[path] {
			m, err := stream.Recv()
			check(t, err)
			if m.GetSyncResponse() {
				values["sync"] = true
			}
			for _, u := range m.GetUpdate().GetUpdate() {
				values[gpath.String(u.GetPath())] = true
			}
		}
	}
	until("sync")
	d.firstSet(client, ge0mtu, "1400")
	until(ge0mtu)
	d.ports.Publish(time.Now(), map[string]any{ge0 + "/state/mtu": uint16(1400)})
	until(ge0 + "/state/mtu")
}

func TestDrainEndsInTime(t *testing.T) {
	d, _, _ := furnished(t, "never")
	client := d.gnmi()
	d.firstSet(client, ge0mtu, "1400")
	stream, err := client.Subscribe(d.context())
	check(t, err)
	check(t, stream.Send(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Subscribe{Subscribe: &pb.SubscriptionList{
		Subscription: []*pb.Subscription{{Path: gpath.MustParse(ge0), Mode: pb.SubscriptionMode_ON_CHANGE}},
	}}}))
	_, err = stream.Recv()
	check(t, err)
	check(t, d.config.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-d.config.done:
	case <-time.After(patience):
		t.Fatal("configd does not end while a subscriber is connected")
	}
	if code := d.config.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("configd ended with %d", code)
	}
}
