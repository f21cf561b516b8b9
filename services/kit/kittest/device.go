// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package kittest runs a component inside a test: the real kit, real sockets and a real roster below a
// directory of its own, with a scripted configuration service and whatever other providers the test brings.
package kittest

import (
	"context"
	"errors"
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
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
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
	running   *running
}

type running struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
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
	rt, err := kit.Embed(d.manifest, d.Layout, d.Layout.Root, d.sockets, logWriter{})
	must(d.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan struct{})}
	d.running = r
	go func() {
		defer close(r.done)
		r.err = rt.Serve(ctx, d.construct)
	}()
	d.token++
	d.activate()
}

func (d *Device) activate() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn := d.Conn()
	defer conn.Close()
	answered := make(chan error, 1)
	go func() {
		_, err := lifecyclev1.NewLifecycleClient(conn).Activate(ctx, &lifecyclev1.ActivateRequest{FencingToken: d.token}, grpc.WaitForReady(true))
		answered <- err
	}()
	select {
	case err := <-answered:
		must(d.t, err)
	case <-d.running.done:
		d.t.Fatalf("the component ended: %v", d.running.err)
	}
}

// Stop drains the component and waits for its end. It does nothing when it is not running.
func (d *Device) Stop() {
	d.t.Helper()
	if d.running == nil {
		return
	}
	d.running.cancel()
	<-d.running.done
	if err := d.running.err; err != nil && !errors.Is(err, context.Canceled) {
		d.t.Errorf("the component ended with %v", err)
	}
	d.running = nil
}

// Conn returns a connection to the component's contracts, as the operator. The caller closes it.
func (d *Device) Conn() *grpc.ClientConn {
	d.t.Helper()
	conn, err := grpc.NewClient("unix://"+d.endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	must(d.t, err)
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
func (d *Device) Health() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn := d.Conn()
	defer conn.Close()
	h, err := lifecyclev1.NewLifecycleClient(conn).Health(ctx, &lifecyclev1.HealthRequest{})
	switch {
	case err != nil:
		return err
	case !h.GetReady():
		return errors.New(h.GetReason())
	}
	return nil
}

// WaitReady waits until the component's domain probe succeeds.
func (d *Device) WaitReady() {
	d.t.Helper()
	Eventually(d.t, d.Health)
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
