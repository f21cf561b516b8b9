// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package aggregate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/feed"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/yang"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
	"github.com/ashlar-nos/ashlar/services/kit/telemetry"
)

var loadModel = sync.OnceValues(func() (*schema.Model, error) { return schema.Load(yang.Files()) })

// village is a roster of components that publish, and an aggregator that follows them.
type village struct {
	t      *testing.T
	dir    string
	feed   *feed.Feed
	roster roster.Roster
}

func newVillage(t *testing.T) *village {
	t.Helper()
	model, err := loadModel()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &village{t: t, dir: dir, feed: feed.New(model)}
}

func (v *village) file() string { return filepath.Join(v.dir, "roster.json") }

func (v *village) write() {
	v.t.Helper()
	if err := roster.Write(v.file(), v.roster); err != nil {
		v.t.Fatal(err)
	}
}

// follow runs the aggregator for the rest of the test.
func (v *village) follow() *Aggregator {
	v.write()
	dial := func(socket string) (*grpc.ClientConn, error) {
		return grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	a := New(v.feed, v.file(), dial, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	a.settling = 300 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	v.t.Cleanup(func() { cancel(); <-done })
	return a
}

// settle adds a component to the roster.
func (v *village) settle(name string) {
	v.roster.Components = append(v.roster.Components, roster.Component{
		Name: name, Endpoint: filepath.Join(v.dir, name), Provides: []manifest.Provision{{Contract: contract, Level: 1}},
	})
}

// publish serves a publisher as a component, until stop.
func (v *village) publish(name string, values map[string]any) (p *telemetry.Publisher, stop func()) {
	v.t.Helper()
	p = telemetry.NewPublisher()
	p.Publish(time.Now(), values)
	l, err := net.Listen("unix", filepath.Join(v.dir, name))
	if err != nil {
		v.t.Fatal(err)
	}
	s := grpc.NewServer()
	telemetryv1.RegisterTelemetryServer(s, telemetry.NewServer(p))
	go func() { _ = s.Serve(l) }()
	v.t.Cleanup(s.Stop)
	return p, s.Stop
}

// await waits until the state at a path is a value; "" is nothing.
func (v *village) await(path, want string) {
	v.t.Helper()
	bound, err := v.feed.Model().Resolve(gpath.MustParse(path))
	if err != nil {
		v.t.Fatal(err)
	}
	watcher, view := v.feed.Watch([]schema.Path{bound})
	defer watcher.Close()
	for deadline := time.After(20 * time.Second); ; view = v.feed.View() {
		leaf, there := view.Lookup(bound)
		if there == (want != "") && (!there || leaf.Value.String() == want) {
			return
		}
		select {
		case <-watcher.Changed():
		case <-deadline:
			v.t.Fatalf("%s is %q, want %q", path, leaf.Value, want)
		}
	}
}

// gaps counts from now on how often a path goes.
func (v *village) gaps(path string) (count func() int) {
	v.t.Helper()
	bound, err := v.feed.Model().Resolve(gpath.MustParse(path))
	if err != nil {
		v.t.Fatal(err)
	}
	watcher, _ := v.feed.Watch([]schema.Path{bound})
	return func() (n int) {
		defer watcher.Close()
		events, err := watcher.Take()
		if err != nil {
			v.t.Error(err)
		}
		for _, e := range events {
			if e.Value.IsNone() || e.Duplicates > 0 {
				n++
			}
		}
		return n
	}
}

func ifindex(port int) string {
	return fmt.Sprintf("/interfaces/interface[name=ge%d]/state/ifindex", port)
}

func TestFollowsAndSweeps(t *testing.T) {
	v := newVillage(t)
	v.settle("interfaces")
	ports, stop := v.publish("interfaces", map[string]any{ifindex(1): uint32(11), ifindex(2): uint32(12)})
	a := v.follow()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	a.AwaitFirst(ctx)
	v.await(ifindex(1), "11")
	ports.Publish(time.Now(), map[string]any{ifindex(1): uint32(21), ifindex(3): uint32(13)})
	v.await(ifindex(1), "21")
	v.await(ifindex(3), "13")
	ports.Publish(time.Now(), nil, "/interfaces/interface[name=ge3]")
	v.await(ifindex(3), "")
	// The publisher dies: what it said stands. Its successor says little at first: what it says again stands too, what
	// it does not is swept.
	ports.Publish(time.Now(), map[string]any{ifindex(4): uint32(14)})
	v.await(ifindex(4), "14")
	stop()
	v.await(ifindex(2), "12")
	gaps := v.gaps(ifindex(2))
	successor, _ := v.publish("interfaces", map[string]any{ifindex(1): uint32(31)})
	v.await(ifindex(1), "31")
	v.await(ifindex(4), "14")
	successor.Publish(time.Now(), map[string]any{ifindex(2): uint32(12)})
	v.await(ifindex(4), "")
	v.await(ifindex(2), "12")
	if n := gaps(); n > 0 {
		t.Errorf("a leaf that both published went %d times", n)
	}
}

// TestManyDeathsDelayNothing: with pauses that grow from one death to the next, ten deaths took 4 s at least.
func TestManyDeathsDelayNothing(t *testing.T) {
	v := newVillage(t)
	v.settle("interfaces")
	_, stop := v.publish("interfaces", map[string]any{ifindex(1): uint32(100)})
	v.follow()
	v.await(ifindex(1), "100")
	began := time.Now()
	for i := range 10 {
		stop()
		_, stop = v.publish("interfaces", map[string]any{ifindex(1): uint32(101 + i)})
		v.await(ifindex(1), fmt.Sprint(101+i))
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("ten restarts took %s", took)
	}
}

func TestLeavingTheRoster(t *testing.T) {
	v := newVillage(t)
	v.settle("interfaces")
	v.settle("absent") // it never answers, and delays nobody
	v.publish("interfaces", map[string]any{ifindex(1): uint32(11)})
	v.publish("host", map[string]any{"/system/state/hostname": "quarry"})
	a := v.follow()
	v.await(ifindex(1), "11")
	short, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no longer"))
	a.AwaitFirst(short)
	v.roster.Components = nil
	v.settle("host")
	v.write()
	v.await("/system/state/hostname", "quarry")
	v.await(ifindex(1), "")
}

// The package manager is a publisher as any other, and its model is served as it comes.
func TestInstalls(t *testing.T) {
	v := newVillage(t)
	v.settle("pkgmgr")
	const operation = "/install/operations/operation[id=7]/state/"
	const rib = "/install/packages/package[component=rib][version=1.1.0]/state/"
	installs, _ := v.publish("pkgmgr", map[string]any{
		"/install/state/committed-generation": uint64(3), "/install/state/reverts-at": uint64(1), operation + "outcome": "RUNNING", operation + "step": uint32(2),
		rib + "active": true,
	})
	v.follow()
	v.await("/install/state/committed-generation", "3")
	v.await(operation+"outcome", "RUNNING")
	v.await(rib+"active", "true")
	installs.Publish(time.Now(), map[string]any{operation + "outcome": "SUCCEEDED", "/install/state/reverts-at": nil})
	v.await(operation+"outcome", "SUCCEEDED")
	v.await("/install/state/reverts-at", "")
}

func TestBadLeavesHarmNobody(t *testing.T) {
	v := newVillage(t)
	v.settle("interfaces")
	v.publish("interfaces", map[string]any{
		ifindex(1): uint32(11), "/interfaces/interface[name=ge1]/state/colour": "red",
		"/interfaces/interface[name=ge1]/config/mtu": uint16(1400), "/interfaces/interface[name=ge2]/state/ifindex": "many",
	})
	v.follow()
	v.await(ifindex(1), "11")
	if _, there := v.feed.View().Lookup(v.bind("/interfaces/interface[name=ge1]/config/mtu")); there {
		t.Error("a publisher changed the configuration")
	}
}

func (v *village) bind(path string) schema.Path {
	p, err := v.feed.Model().Resolve(gpath.MustParse(path))
	if err != nil {
		v.t.Fatal(err)
	}
	return p
}
