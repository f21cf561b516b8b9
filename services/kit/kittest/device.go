// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package kittest runs a component inside a test: the real kit, real sockets and a real roster below a
// directory of its own, with a scripted configuration service and whatever other providers the test brings.
package kittest

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// Device is one component under test with its surroundings.
type Device struct {
	Layout layout.Layout
	// Config plays the configuration service.
	Config *Config

	t         testing.TB
	manifest  []byte
	construct kit.Constructor
	sockets   map[string]*os.File
	endpoint  string
	extra     []option
	roster    roster.Roster
	token     uint64
	name      string
	slot      int
	running   *Process
	processes []*Process
}

// Option adds to the surroundings.
type Option func(*Device)

type option struct {
	name, contract string
	register       func(grpc.ServiceRegistrar)
}

// Provide runs a provider of a contract, under a component's name, for the component under test to call.
func Provide(name, contract string, register func(grpc.ServiceRegistrar)) Option {
	return func(d *Device) { d.extra = append(d.extra, option{name, contract, register}) }
}

// Start runs the component and activates it. It is ended with the test.
func Start(t testing.TB, manifestYAML []byte, construct kit.Constructor, options ...Option) *Device {
	t.Helper()
	d := New(t, manifestYAML, construct, options...)
	d.Run()
	return d
}

// New makes the surroundings without running the component: the test may prepare the scripted
// configuration, then call Run.
func New(t testing.TB, manifestYAML []byte, construct kit.Constructor, options ...Option) *Device {
	t.Helper()
	// Not t.TempDir: its paths are too long for sockets.
	root, err := os.MkdirTemp("", "kit")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	l, err := layout.New(root)
	must(t, err)
	d := &Device{t: t, Layout: l, manifest: manifestYAML, construct: construct, sockets: map[string]*os.File{}, Config: newConfig()}
	for _, o := range options {
		o(d)
	}
	m, err := manifest.Parse(manifestYAML)
	must(t, err)
	d.name = m.Name
	for _, dir := range []string{l.RunDir(), l.LogDir(), l.ComponentState(m.Name)} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	d.listen(m)
	d.provide(m)
	must(t, roster.Write(l.Roster(), d.roster))
	t.Cleanup(d.Stop)
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen opens the component's own sockets, as the supervisor would.
func (d *Device) listen(m *manifest.Manifest) {
	for _, s := range m.Sockets {
		var l net.Listener
		var err error
		if s.Unix != "" {
			l, err = net.Listen("unix", d.Layout.Socket(s.Unix))
			must(d.t, err)
			l.(*net.UnixListener).SetUnlinkOnClose(false)
		} else {
			l, err = net.Listen("tcp", "127.0.0.1:0")
			must(d.t, err)
		}
		f, err := l.(interface{ File() (*os.File, error) }).File()
		must(d.t, err)
		must(d.t, l.Close())
		d.t.Cleanup(func() { f.Close() })
		d.sockets[s.Name] = f
	}
	api, ok := m.Socket("api")
	if !ok {
		d.t.Fatalf("%s: component.yaml has no socket named api", m.Name)
	}
	d.endpoint = d.Layout.Socket(api.Unix)
	d.roster.Components = append(d.roster.Components, roster.Component{
		Name: m.Name, Version: m.Version, UID: uint32(os.Getuid()), Endpoint: d.endpoint, Provides: m.Provides, Requires: m.Requires,
	})
}

// provide runs the providers that the test brought, and the scripted configuration.
func (d *Device) provide(m *manifest.Manifest) {
	if _, own := m.Level("ashlar.config.v1"); !own {
		Provide("config", "ashlar.config.v1", func(s grpc.ServiceRegistrar) { configv1.RegisterConfigServer(s, d.Config) })(d)
	}
	for _, o := range d.extra {
		path := d.Layout.Socket(o.name + "-" + o.contract + ".sock")
		l, err := net.Listen("unix", path)
		must(d.t, err)
		s := grpc.NewServer(grpc.Creds(peer.Credentials()), grpc.MaxRecvMsgSize(64<<20))
		o.register(s)
		go func() { _ = s.Serve(l) }()
		d.t.Cleanup(s.Stop)
		d.roster.Components = append(d.roster.Components, roster.Component{
			Name: o.name, Version: "0.0.0", UID: 0, Endpoint: path, Provides: []manifest.Provision{{Contract: o.contract, Level: 1}},
		})
	}
}

// Run starts the component, after New or Stop, with a newer fencing token each time.
func (d *Device) Run() {
	d.t.Helper()
	d.running = d.Stage(d.construct)
	d.running.Activate()
}

// Running is the process that Run or TakeOver made the component.
func (d *Device) Running() *Process { return d.running }

// Stage starts a candidate beside the component: a process that shares its sockets and has no token. The constructor
// is the new version's. It is ended with the test.
func (d *Device) Stage(construct kit.Constructor) *Process {
	d.t.Helper()
	p := &Process{d: d, endpoint: d.Layout.Socket(d.name + ".life." + [...]string{"a", "b"}[d.slot] + ".sock"), done: make(chan struct{})}
	d.slot = 1 - d.slot
	p.start(construct)
	d.processes = append(d.processes, p)
	return p
}

// TakeOver makes a candidate the component as the supervisor does for components that take over: the old process is
// frozen, the candidate gets the token and becomes ready, the old one drains and ends.
func (d *Device) TakeOver(p *Process) {
	d.t.Helper()
	old := d.running
	must(d.t, old.Freeze())
	d.Use(p)
	old.Drain()
	old.Wait()
}

// Use makes a candidate the component: it gets a token and becomes ready.
func (d *Device) Use(p *Process) {
	d.t.Helper()
	p.Activate()
	p.WaitReady()
	d.running = p
}

// Stop drains the component, and every other process of it, and waits for their end. It does nothing when there is none.
func (d *Device) Stop() {
	d.t.Helper()
	for _, p := range d.processes {
		p.Stop()
	}
	d.processes, d.running = nil, nil
}

// Conn returns a connection to the component's contracts, as the operator. The caller closes it.
func (d *Device) Conn() *grpc.ClientConn {
	d.t.Helper()
	return dial(d.t, d.endpoint)
}

func dial(t testing.TB, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	must(t, err)
	return conn
}

// Dial is Conn, closed with the test.
func (d *Device) Dial() *grpc.ClientConn {
	d.t.Helper()
	conn := d.Conn()
	d.t.Cleanup(func() { conn.Close() })
	return conn
}

// Health asks the component for its readiness.
func (d *Device) Health() error { return d.running.Health() }

// WaitReady waits until the component's domain probe succeeds.
func (d *Device) WaitReady() {
	d.t.Helper()
	d.running.WaitReady()
}

// Eventually calls check until it returns nil; it fails the test with the last error when that takes too long.
func Eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	err := check()
	for ; err != nil && time.Now().Before(deadline); err = check() {
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("after %v: %w", patience, err))
	}
}

// StateDir is the component's own state directory.
func (d *Device) StateDir(component string) string {
	return filepath.Clean(d.Layout.ComponentState(component))
}

// logWriter shows the component's log when ASHLAR_TEST_LOG is set.
type logWriter struct{}

var logLock sync.Mutex

func (logWriter) Write(b []byte) (int, error) {
	if os.Getenv("ASHLAR_TEST_LOG") == "" {
		return io.Discard.Write(b)
	}
	logLock.Lock()
	defer logLock.Unlock()
	return os.Stderr.Write(b)
}
