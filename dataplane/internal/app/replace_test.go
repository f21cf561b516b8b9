// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"

	"github.com/ashlar-nos/ashlar/dataplane/internal/kernelroutes"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// candidate is a process beside the running one, with a lifecycle socket of its own and no token.
type candidate struct {
	process *exec.Cmd
	conn    *grpc.ClientConn
	client  lifecyclev1.LifecycleClient
}

func (d *device) stage(round int) *candidate {
	d.t.Helper()
	life := fmt.Sprintf("dataplane.life.%d.sock", round)
	c := &candidate{process: d.spawn("api:metrics:lifecycle", append(slices.Clone(d.sockets), d.listen(life))...), conn: d.connect(life)}
	c.client = lifecyclev1.NewLifecycleClient(c.conn)
	return c
}

// rehearsed waits until the candidate has prepared and returns what it says.
func (d *device) rehearsed(c *candidate) string {
	d.t.Helper()
	var out *lifecyclev1.RehearseResponse
	d.await(func() bool {
		var err error
		out, err = c.client.Rehearse(d.t.Context(), &lifecyclev1.RehearseRequest{}, grpc.WaitForReady(true))
		must(d.t, err)
		return out.GetSynced()
	})
	if len(out.GetOutputs()) != 1 {
		d.t.Fatalf("rehearsed %v", out)
	}
	return strings.Join(out.GetOutputs()[0].GetSample(), "; ")
}

// drained ends the running process and returns how long that took.
func (d *device) drained() time.Duration {
	d.t.Helper()
	begin := time.Now()
	must(d.t, d.process.Process.Signal(syscall.SIGTERM))
	must(d.t, d.process.Wait())
	return time.Since(begin)
}

// listing is everything pinned, which program is on the ports and what the tables say of it.
func (d *device) listing() string {
	d.t.Helper()
	all := []string{}
	must(d.t, filepath.WalkDir(d.layout.PinDir(), func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	for _, port := range topology.Ports() {
		all = append(all, fmt.Sprint(port, " runs ", d.attachedProgram(port)))
	}
	d.tables(func(control []byte) { all = append(all, fmt.Sprintf("%x", control[16:64])) })
	return strings.Join(all, "\n")
}

// removedRoutes counts what the daemon takes out of the kernel's table from now on.
func (d *device) removedRoutes() (count func() int) {
	d.t.Helper()
	updates, done := make(chan netlink.RouteUpdate, 1024), make(chan struct{})
	ns := netns.NsHandle(d.top.Device.Descriptor())
	must(d.t, netlink.RouteSubscribeWithOptions(updates, done, netlink.RouteSubscribeOptions{Namespace: &ns}))
	return func() (n int) {
		defer close(done)
		for {
			select {
			case u := <-updates:
				if u.Type == unix.RTM_DELROUTE && u.Protocol == kernelroutes.Protocol {
					n++
				}
			default:
				return n
			}
		}
	}
}

// TestReplacedUnderTraffic replaces the daemon again and again under a stream, as the supervisor does it: a candidate
// prepares beside the running process and is seen nowhere, the old process drains, the candidate gets the token. Every
// other one brings another program; the one after goes back.
func TestReplacedUnderTraffic(t *testing.T) {
	d, _ := up(t)
	d.ping(behindB()...)
	d.resolved(behindB()...)
	d.kernelRoutes(topology.Balanced4, topology.Balanced6, topology.Single4, topology.Single6)
	removed := d.removedRoutes()
	end := d.traffic()
	forwarded := d.counters().GetForwardedPackets()
	for round := range 8 {
		program := d.attachedProgram(topology.LinkA.Port)
		another := round%2 == 1
		if another {
			d.tables(func(control []byte) { control[40] ^= 0xff }) // the pinned program is not the candidate's
		}
		before := d.listing()
		next := d.stage(round)
		said := d.rehearsed(next)
		if want := map[bool]string{false: "stays", true: "replaces"}[another]; !strings.Contains(said, want) || !strings.Contains(said, "are adopted") {
			t.Fatalf("the candidate says: %s", said)
		}
		if after := d.listing(); after != before {
			t.Fatalf("preparing was seen: before\n%s\nafter\n%s", before, after)
		}
		draining := d.drained()
		begin := time.Now()
		d.process = next.process
		d.activate(next.conn)
		d.dial()
		d.awaitReady(next.client)
		t.Logf("round %d: drained in %v, ready after %v", round, draining, time.Since(begin))
		if now := d.attachedProgram(topology.LinkA.Port); (now != program) != another {
			t.Fatalf("program %d was replaced by %d", program, now)
		}
		c := d.counters()
		if c.GetAdopted() == another || c.GetForwardedPackets() < forwarded {
			t.Fatalf("adopted: %v; %d packets forwarded, then %d", c.GetAdopted(), forwarded, c.GetForwardedPackets())
		}
		forwarded = c.GetForwardedPackets()
		if n := len(d.routes()); n != 16 {
			t.Fatalf("%d routes after the replacement", n)
		}
	}
	totals := end()
	t.Logf("%+v", totals)
	if err := totals.Clean(); err != nil {
		t.Fatal(err)
	}
	if n := removed(); n != 0 {
		t.Errorf("%d routes were taken out of the kernel", n)
	}
}
