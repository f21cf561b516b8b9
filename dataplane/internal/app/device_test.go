// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/services/kit/layout"

	"github.com/ashlar-nos/ashlar/lab/topology"
)

// capabilities are those of the manifest, and all that the process gets.
var capabilities = []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON}

// binary is built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and load XDP programs: run them as root")
		os.Exit(1)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "dataplaned")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		binary = filepath.Join(dir, "dataplaned")
		build := exec.Command("go", "build", "-o", binary, "github.com/ashlar-nos/ashlar/dataplane")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// device is a dataplaned of its own in a network of its own. The test plays supervisor, ifmgrd and ribd.
type device struct {
	t       *testing.T
	top     *topology.Topology
	layout  layout.Layout
	sockets []*os.File
	conn    *grpc.ClientConn
	client  dataplanev1.DataplaneClient
	process *exec.Cmd
	token   uint64
}

func newDevice(t *testing.T) *device {
	t.Helper()
	// Not t.TempDir: its paths are too long for sockets, and closed to other users.
	root, err := os.MkdirTemp("", "dp")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	must(t, os.Chmod(root, 0o755))
	d := &device{t: t}
	d.layout, err = layout.New(root)
	must(t, err)
	must(t, os.MkdirAll(d.layout.RunDir(), 0o755))
	mountBPF(t)
	must(t, os.MkdirAll(d.layout.PinDir(), 0o755))
	t.Cleanup(func() { os.RemoveAll(d.layout.PinDir()) })
	must(t, os.Chown(d.layout.PinDir(), uid, uid))
	d.top, err = topology.Build(fmt.Sprintf("dp-%d-%s", os.Getpid(), strings.ToLower(t.Name()[4:min(len(t.Name()), 20)])))
	must(t, err)
	t.Cleanup(func() {
		d.top.Close()
		if err := topology.Destroy(d.top.Name); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"dataplane.sock", "dataplane.metrics.sock"} {
		d.sockets = append(d.sockets, d.listen(name))
	}
	d.raise()
	return d
}

// listen makes a socket as the supervisor does.
func (d *device) listen(name string) *os.File {
	d.t.Helper()
	l, err := net.Listen("unix", d.layout.Socket(name))
	must(d.t, err)
	must(d.t, os.Chmod(d.layout.Socket(name), 0o666))
	f, err := l.(*net.UnixListener).File()
	must(d.t, err)
	d.t.Cleanup(func() { f.Close(); l.Close() })
	return f
}

// dial makes a connection of its own to each process: no call meets what a dead one left.
func (d *device) dial() {
	d.conn = d.connect("dataplane.sock")
	d.client = dataplanev1.NewDataplaneClient(d.conn)
}

func (d *device) connect(socket string) *grpc.ClientConn {
	conn, err := grpc.NewClient("unix:"+d.layout.Socket(socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(d.t, err)
	d.t.Cleanup(func() { conn.Close() })
	return conn
}

const uid = 63_107

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mountBPF(t *testing.T) {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs("/sys/fs/bpf", &st))
	if st.Type != unix.BPF_FS_MAGIC {
		must(t, unix.Mount("bpf", "/sys/fs/bpf", "bpf", 0, ""))
	}
}

// raise gives the ports their addresses and lets the kernel forward for them, as the interface manager would.
func (d *device) raise() {
	h, err := d.top.Device.Netlink()
	must(d.t, err)
	defer h.Close()
	for _, l := range topology.Links() {
		port, err := h.LinkByName(l.Port)
		must(d.t, err)
		for _, p := range []netip.Prefix{l.Port4, l.Port6} {
			a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
			if p.Addr().Is6() {
				a.Flags = unix.IFA_F_NODAD
			}
			must(d.t, h.AddrAdd(port, a))
		}
		must(d.t, h.LinkSetUp(port))
		for _, key := range []string{"ipv4/conf/%s/forwarding", "ipv6/conf/%s/forwarding", "ipv6/conf/%s/force_forwarding"} {
			must(d.t, d.top.Device.Sysctl(fmt.Sprintf(key, l.Port), "1"))
		}
	}
}

// start runs the daemon as its own user and activates it.
func (d *device) start() {
	d.t.Helper()
	d.process = d.spawn("api:metrics", d.sockets...)
	d.dial()
	d.activate(d.conn)
}

// spawn runs a daemon with these sockets.
func (d *device) spawn(names string, sockets ...*os.File) *exec.Cmd {
	d.t.Helper()
	tree := filepath.Dir(binary)
	process := exec.Command(binary)
	process.Env = []string{
		layout.EnvRoot + "=" + d.layout.Root, "ASHLAR_TREE=" + tree,
		fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES=" + names, "GOMEMLIMIT=96MiB",
	}
	process.ExtraFiles = sockets
	process.Stderr = testWriter{d.t}
	process.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uid, Gid: uid}, AmbientCaps: capabilities,
	}
	must(d.t, d.top.Device.Start(process))
	d.t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	return process
}

// activate gives the process behind a connection the newest token.
func (d *device) activate(conn *grpc.ClientConn) {
	d.t.Helper()
	d.token++
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	_, err := lifecyclev1.NewLifecycleClient(conn).Activate(ctx, &lifecyclev1.ActivateRequest{FencingToken: d.token}, grpc.WaitForReady(true))
	must(d.t, err)
}

// ready waits until the domain probe succeeds.
func (d *device) ready() {
	d.t.Helper()
	d.awaitReady(lifecyclev1.NewLifecycleClient(d.conn))
}

// awaitReady waits for the domain probe of a process by its own socket.
func (d *device) awaitReady(client lifecyclev1.LifecycleClient) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	for {
		h, err := client.Health(ctx, &lifecyclev1.HealthRequest{}, grpc.WaitForReady(true))
		must(d.t, err)
		if h.GetReady() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (d *device) kill() {
	must(d.t, d.process.Process.Kill())
	if err := d.process.Wait(); err == nil {
		d.t.Fatal("killed process ended by itself")
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

func (d *device) setPorts(names ...string) *dataplanev1.SetPortsResponse {
	d.t.Helper()
	r := &dataplanev1.SetPortsRequest{FencingToken: 1}
	for _, n := range names {
		r.Ports = append(r.Ports, &dataplanev1.Port{Name: n, Enabled: true})
	}
	out, err := d.client.SetPorts(d.t.Context(), r)
	must(d.t, err)
	return out
}

// programmer is a programmer's stream that acknowledges.
type programmer struct {
	d        *device
	stream   grpc.BidiStreamingClient[dataplanev1.ProgramRequest, dataplanev1.ProgramResponse]
	opened   *dataplanev1.Opened
	sequence uint64
}

func (d *device) program(generation uint64) *programmer {
	d.t.Helper()
	stream, err := d.client.Program(d.t.Context())
	must(d.t, err)
	p := &programmer{d: d, stream: stream}
	must(d.t, stream.Send(&dataplanev1.ProgramRequest{Message: &dataplanev1.ProgramRequest_Open{
		Open: &dataplanev1.Open{FencingToken: 1, Generation: generation},
	}}))
	r, err := stream.Recv()
	must(d.t, err)
	p.opened = r.GetOpened()
	return p
}

func (p *programmer) send(b *dataplanev1.Batch) []*dataplanev1.Failure {
	p.d.t.Helper()
	p.sequence++
	b.Sequence = p.sequence
	must(p.d.t, p.stream.Send(&dataplanev1.ProgramRequest{Message: &dataplanev1.ProgramRequest_Batch{Batch: b}}))
	return p.acknowledged()
}

func (p *programmer) endOfSync() {
	p.d.t.Helper()
	p.sequence++
	must(p.d.t, p.stream.Send(&dataplanev1.ProgramRequest{Message: &dataplanev1.ProgramRequest_EndOfSync{
		EndOfSync: &dataplanev1.EndOfSync{Sequence: p.sequence},
	}}))
	if f := p.acknowledged(); len(f) > 0 {
		p.d.t.Fatal(f)
	}
}

func (p *programmer) acknowledged() []*dataplanev1.Failure {
	p.d.t.Helper()
	r, err := p.stream.Recv()
	must(p.d.t, err)
	if a := r.GetAcknowledged(); a.GetSequence() != p.sequence {
		p.d.t.Fatalf("acknowledged %d, sent %d", a.GetSequence(), p.sequence)
	}
	return r.GetAcknowledged().GetFailures()
}

const (
	toA = iota + 1
	toB1
	toB2
	local
	balanced4
	balanced6
	single4
	single6
)

func hop(l topology.Link, v6 bool) *dataplanev1.NextHop {
	a := l.Host4.Addr()
	if v6 {
		a = l.Host6.Addr()
	}
	return &dataplanev1.NextHop{Interface: l.Port, Address: a.AsSlice(), Weight: 1}
}

// intent is what a routing table would send for the lab's network.
func intent() *dataplanev1.Batch {
	forward, connected := dataplanev1.Action_ACTION_FORWARD, dataplanev1.Action_ACTION_CONNECTED
	b := &dataplanev1.Batch{V4: &dataplanev1.RouteColumns{}, V6: &dataplanev1.RouteColumns{}}
	b.Groups = []*dataplanev1.NextHopGroup{
		{Id: local, Action: dataplanev1.Action_ACTION_LOCAL},
		{Id: balanced4, Action: forward, NextHops: []*dataplanev1.NextHop{hop(topology.LinkB1, false), hop(topology.LinkB2, false)}},
		{Id: balanced6, Action: forward, NextHops: []*dataplanev1.NextHop{hop(topology.LinkB1, true), hop(topology.LinkB2, true)}},
		{Id: single4, Action: forward, NextHops: []*dataplanev1.NextHop{hop(topology.LinkB1, false)}},
		{Id: single6, Action: forward, NextHops: []*dataplanev1.NextHop{hop(topology.LinkB1, true)}},
	}
	for i, l := range topology.Links() {
		b.Groups = append(b.Groups, &dataplanev1.NextHopGroup{
			Id: uint32(toA + i), Action: connected, NextHops: []*dataplanev1.NextHop{{Interface: l.Port}},
		})
		for _, p := range []netip.Prefix{l.Port4, l.Port6} {
			add(b, p.Masked(), uint32(toA+i))
			add(b, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), local)
		}
	}
	add(b, topology.Balanced4, balanced4)
	add(b, topology.Balanced6, balanced6)
	add(b, topology.Single4, single4)
	add(b, topology.Single6, single6)
	return b
}

func add(b *dataplanev1.Batch, p netip.Prefix, group uint32) {
	c := b.V4
	if p.Addr().Is6() {
		c = b.V6
	}
	c.Prefixes = append(append(c.Prefixes, p.Addr().AsSlice()...), byte(p.Bits()))
	c.Groups = append(c.Groups, group)
}

// routes reads the table back.
func (d *device) routes() map[netip.Prefix]*dataplanev1.ForwardingRoute {
	d.t.Helper()
	stream, err := d.client.ListRoutes(d.t.Context(), &dataplanev1.ListRoutesRequest{})
	must(d.t, err)
	m := map[netip.Prefix]*dataplanev1.ForwardingRoute{}
	for {
		r, err := stream.Recv()
		if errors.Is(err, os.ErrClosed) || err != nil && err.Error() == "EOF" {
			return m
		}
		must(d.t, err)
		for _, x := range r.GetRoutes() {
			n := len(x.GetPrefix()) - 1
			a, _ := netip.AddrFromSlice(x.GetPrefix()[:n])
			m[netip.PrefixFrom(a, int(x.GetPrefix()[n]))] = x
		}
	}
}

// resolved waits until packets for an address are forwarded by the program over all next hops.
func (d *device) resolved(addresses ...netip.Addr) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	for _, a := range addresses {
		for {
			r, err := d.client.Lookup(ctx, &dataplanev1.LookupRequest{Address: a.AsSlice()})
			must(d.t, err)
			all := r.GetRoute().GetAction() == dataplanev1.Action_ACTION_FORWARD
			for _, h := range r.GetRoute().GetNextHops() {
				all = all && h.GetResolved()
			}
			if all {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// resolvedHops is how many next hops of an address's route the program sends by.
func (d *device) resolvedHops(a netip.Addr) (n int) {
	r, err := d.client.Lookup(d.t.Context(), &dataplanev1.LookupRequest{Address: a.AsSlice()})
	must(d.t, err)
	for _, h := range r.GetRoute().GetNextHops() {
		if h.GetResolved() {
			n++
		}
	}
	return n
}

// await looks until a condition holds; the kernel and the daemon tell the test nothing.
func (d *device) await(condition func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatal("waited in vain")
		}
	}
}

// setHostLink takes the host's end of a link up or down: the device's end loses its carrier.
func (d *device) setHostLink(l topology.Link, up bool) {
	h, err := d.top.Host(l).Netlink()
	must(d.t, err)
	defer h.Close()
	link, err := h.LinkByName(l.HostInterface)
	must(d.t, err)
	if up {
		must(d.t, h.LinkSetUp(link))
		return
	}
	must(d.t, h.LinkSetDown(link))
}

// memoryUse is what the daemon has for itself, without the tables.
func (d *device) memoryUse() string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", d.process.Process.Pid))
	must(d.t, err)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "Pss_Anon:") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return ""
}

// attachedProgram is the id of the program on a port, by the kernel's word.
func (d *device) attachedProgram(port string) uint32 {
	h, err := d.top.Device.Netlink()
	must(d.t, err)
	defer h.Close()
	l, err := h.LinkByName(port)
	must(d.t, err)
	if l.Attrs().Xdp == nil {
		return 0
	}
	return l.Attrs().Xdp.ProgId
}
