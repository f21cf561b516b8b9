// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/lab/topology"
	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
)

// gro switches GRO at a host's end of a link. Without it, and without XDP there, the kernel throws away what is
// redirected to the device's end.
func (d *device) gro(l topology.Link, value string) {
	d.t.Helper()
	c := exec.Command("ethtool", "-K", l.HostInterface, "gro", value)
	c.Stderr = testWriter{d.t}
	must(d.t, d.top.Host(l).Start(c))
	must(d.t, c.Wait())
}

// datagrams sends n of them from host A.
func (d *device) datagrams(to netip.Addr, n int) {
	d.t.Helper()
	must(d.t, d.top.HostA.Do(func() error {
		c, err := net.Dial("udp", netip.AddrPortFrom(to, 9).String())
		if err != nil {
			return err
		}
		defer c.Close()
		for range n {
			if _, err := c.Write(make([]byte, 100)); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (d *device) port(name string) *dataplanev1.PortStatus {
	d.t.Helper()
	r, err := d.client.ListPorts(d.t.Context(), &dataplanev1.ListPortsRequest{})
	must(d.t, err)
	for _, p := range r.GetPorts() {
		if p.GetName() == name {
			return p
		}
	}
	d.t.Fatalf("there is no port %s", name)
	return nil
}

const lost = "redirect-failed"

// TestLossesAreNotForwarded redirects to a link that takes nothing: that is a drop with a reason and no
// packet out, and it is counted once, by a daemon that was killed too, and by no other device.
func TestLossesAreNotForwarded(t *testing.T) {
	d, _ := up(t)
	to := topology.Single4.Addr().Next()
	d.ping(to)
	d.resolved(to)
	d.gro(topology.LinkB1, "off")
	before, in, out := d.counters(), d.port("ge0").GetCounters(), d.port("ge1").GetCounters()
	const half = 100
	d.datagrams(to, half)
	d.kill()
	d.start()
	d.ready()
	d.setPorts(topology.Ports()...)
	d.datagrams(to, half)
	d.await(func() bool { return d.counters().GetDrops()[lost] >= 2*half })
	after := d.counters()
	if n := after.GetForwardedPackets() - before.GetForwardedPackets(); n >= half {
		t.Errorf("%d packets count as forwarded", n)
	}
	if n := after.GetDrops()[lost]; n >= 3*half {
		t.Errorf("%d packets count as lost, %d were sent", n, 2*half)
	}
	p, q := d.port("ge1").GetCounters(), d.port("ge0").GetCounters()
	if p.GetOutPackets()-out.GetOutPackets() >= half || p.GetOutBytes()-out.GetOutBytes() >= half*142 || p.GetLostPackets() < 2*half {
		t.Errorf("the port says %v, said %v", p, out)
	}
	if q.GetDroppedPackets()-in.GetDroppedPackets() < 2*half || q.GetForwardedPackets()-in.GetForwardedPackets() >= half {
		t.Errorf("the port of arrival says %v, said %v", q, in)
	}
	d.await(func() bool { d.datagrams(to, 1); return strings.Contains(d.port("ge1").GetReason(), "GRO") })
	d.gro(topology.LinkB1, "on")
	d.await(func() bool { d.datagrams(to, 1); return d.port("ge1").GetReason() == "" })

	// Ports of another network namespace have the same numbers. What it loses is not ours.
	d.gro(topology.LinkB1, "off")
	d.tables(func(control []byte) {
		control[12] ^= 0xff
	})
	n, arrived := d.counters().GetDrops()[lost], d.port("ge0").GetCounters().GetInPackets()
	d.datagrams(to, half)
	d.await(func() bool { return d.port("ge0").GetCounters().GetInPackets() >= arrived+half })
	if m := d.counters().GetDrops()[lost]; m != n {
		t.Errorf("%d losses of another namespace were counted", m-n)
	}
}
