// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

func TestLogs(t *testing.T) {
	d := newDevice(t, component{name: "one"}, component{name: "two"})
	d.startReady()
	ctx, cancel := wait()
	defer cancel()
	d.say("one", "print first")
	d.awaitLog("one", "first\n")
	stream, err := d.client.Logs(ctx, &supervisorv1.LogsRequest{Component: "one", Tail: 1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second", "no \uFFFD UTF-8"} {
		r, err := stream.Recv()
		if err != nil || r.GetComponent() != "one" || r.GetLine() != want {
			t.Fatalf("got %v, %v; want %q", r, err, want)
		}
		d.say("one", map[string]string{"first": "print second", "second": "print no \xff UTF-8"}[want]+" ")
	}
	all, err := d.client.Logs(ctx, &supervisorv1.LogsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for {
		r, err := all.Recv()
		if err != nil {
			break
		}
		seen[r.GetComponent()]++
	}
	if seen["supervisor"] == 0 || seen["one"] == 0 || seen["two"] == 0 {
		t.Errorf("lines by component: %v", seen)
	}
	none, err := d.client.Logs(ctx, &supervisorv1.LogsRequest{Component: "../../etc/passwd"})
	if err == nil {
		_, err = none.Recv()
	}
	if status.Code(err) != codes.NotFound {
		t.Errorf("logs of nobody: %v", err)
	}
}

func TestWatchBeginsWithASnapshot(t *testing.T) {
	d := newDevice(t, chain()...)
	d.startReady()
	ctx, cancel := wait()
	defer cancel()
	stream, err := d.client.Watch(ctx, &supervisorv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetSynced() {
			break
		}
		names = append(names, r.GetComponent().GetName())
	}
	if strings.Join(names, " ") != "plane store conf routes" {
		t.Errorf("snapshot %v is not the start order", names)
	}
}

func TestSupervisorDescribesItself(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	conn, err := grpc.NewClient("unix://"+d.layout.Socket("supervisor.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := lifecyclev1.NewLifecycleClient(conn)
	ctx, cancel := wait()
	defer cancel()
	about, err := c.Describe(ctx, &lifecyclev1.DescribeRequest{})
	if err != nil || about.GetComponent() != "supervisor" || int(about.GetPid()) != d.command.Process.Pid || len(about.GetProvides()) != 2 {
		t.Errorf("%v, %v", about, err)
	}
	if h, err := c.Health(ctx, &lifecyclev1.HealthRequest{}); err != nil || !h.GetReady() {
		t.Errorf("with all ready: %v, %v", h, err)
	}
	d.flag("one", "unready", true)
	d.await("one", "to be unready", func(c *supervisorv1.ComponentStatus) bool { return !isReady(c) })
	if h, err := c.Health(ctx, &lifecyclev1.HealthRequest{}); err != nil || h.GetReady() || h.GetReason() != "one is not ready: the canary does not sing" {
		t.Errorf("with one unready: %v, %v", h, err)
	}
	if _, err := c.Activate(ctx, &lifecyclev1.ActivateRequest{FencingToken: 9}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("activate: %v", err)
	}
	if _, err := c.Drain(ctx, &lifecyclev1.DrainRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := <-d.exited; err != nil {
		t.Errorf("the supervisor ended with %v", err)
	}
	d.command = nil
	expectNothingLeft(t, d)
}

func TestGarbageOnItsSockets(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	for network, file := range map[string]string{"unix": "supervisor.sock", "unixpacket": "supervisor.fds.sock"} {
		for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x01\x02\xff", "{", strings.Repeat("x", 20<<10)} {
			c, err := net.Dial(network, d.layout.Socket(file))
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte(garbage))
			c.Close()
		}
	}
	if c := d.get("one"); !isReady(c) || c.GetCrashes() != 0 {
		t.Errorf("after garbage: %v", c)
	}
}

func TestMetrics(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	before := d.get("one")
	d.say("one", "exit 1")
	d.await("one", "to be ready again", successorOf(before.GetPid()))
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.layout.Socket("supervisor.metrics.sock"))
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	r, err := client.Get("http://supervisor/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`ashlar_supervisor_component_ready{name="one",version="1.0.0"} 1`,
		`ashlar_supervisor_component_crashes_total{name="one",version="1.0.0"} 1`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="List",grpc_service="ashlar.supervisor.v1.Supervisor",grpc_type="unary"}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
}
