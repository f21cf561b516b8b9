// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
	"github.com/ashlar-nos/ashlar/services/kit/telemetry"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// device runs the real stated and this configd as processes; the test is their supervisor, and plays the
// owners with the kit.
type device struct {
	t       testing.TB
	layout  layout.Layout
	sockets map[string]map[string]*os.File // by component and name
	token   uint64
	started int
	config  *process
	state   *process
	// ports publishes state as the component "interfaces".
	ports *telemetry.Publisher
}

// process is a component that runs, or one that waits for its token. The test speaks to it on a socket that is its own.
type process struct {
	cmd  *exec.Cmd
	name string
	life lifecyclev1.LifecycleClient
	done chan struct{}
}

func newDevice(t testing.TB) *device {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test must run as root: the unix socket knows root as the operator")
	}
	root, err := os.MkdirTemp("", "dev")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	l, err := layout.New(root)
	check(t, err)
	d := &device{t: t, layout: l, sockets: map[string]map[string]*os.File{}, ports: telemetry.NewPublisher()}
	check(t, os.MkdirAll(l.RunDir(), 0o755))
	check(t, os.MkdirAll(l.LogDir(), 0o755))
	var r roster.Roster
	for uid, name := range []string{"config", "state"} {
		m, err := manifest.Load(filepath.Join("../../../", name, "component.yaml"))
		check(t, err)
		check(t, os.MkdirAll(l.ComponentState(name), 0o755))
		d.listen(m)
		api, _ := m.Socket("api")
		r.Components = append(r.Components, roster.Component{
			Name: name, Version: m.Version, UID: uint32(uid), Endpoint: l.Socket(api.Unix), Provides: m.Provides, Requires: m.Requires,
		})
	}
	r.Components = append(r.Components, d.publisher())
	check(t, roster.Write(l.Roster(), r))
	t.Cleanup(func() { d.config.kill(); d.state.kill() })
	return d
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen opens a component's sockets, as the supervisor would.
func (d *device) listen(m *manifest.Manifest) {
	d.t.Helper()
	d.sockets[m.Name] = map[string]*os.File{}
	for _, s := range m.Sockets {
		network, address := "tcp", "127.0.0.1:0"
		if s.Unix != "" {
			network, address = "unix", d.layout.Socket(s.Unix)
		}
		l, err := net.Listen(network, address)
		check(d.t, err)
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		f, err := l.(interface{ File() (*os.File, error) }).File()
		check(d.t, err)
		check(d.t, l.Close())
		d.t.Cleanup(func() { f.Close() })
		d.sockets[m.Name][s.Name] = f
	}
}

// publisher serves the telemetry of a component that is played by the test.
func (d *device) publisher() roster.Component {
	d.t.Helper()
	endpoint := d.layout.Socket("interfaces.sock")
	l, err := net.Listen("unix", endpoint)
	check(d.t, err)
	s := grpc.NewServer()
	telemetryv1.RegisterTelemetryServer(s, telemetry.NewServer(d.ports))
	go func() { _ = s.Serve(l) }()
	d.t.Cleanup(s.Stop)
	return roster.Component{
		Name: "interfaces", Version: "0.0.0", UID: 2, Endpoint: endpoint,
		Provides: []manifest.Provision{{Contract: "ashlar.telemetry.v1", Level: 1}},
	}
}

// run starts a component's process and activates it with a new token.
func (d *device) run(name, binary string, env ...string) *process {
	d.t.Helper()
	p := d.stage(name, binary, env...)
	d.activate(p)
	return p
}

// stage starts a component's process.
func (d *device) stage(name, binary string, env ...string) *process {
	d.t.Helper()
	d.started++
	lifeSocket := fmt.Sprintf("%s.life.%d.sock", name, d.started)
	life := listenUnix(d.t, d.layout.Socket(lifeSocket))
	defer life.Close()
	tree, err := filepath.Abs(filepath.Join("../../../", name))
	check(d.t, err)
	cmd := exec.Command(binary)
	names := []string{"lifecycle"}
	cmd.ExtraFiles = append(cmd.ExtraFiles, life)
	for socket, file := range d.sockets[name] {
		names = append(names, socket)
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	cmd.Env = append(os.Environ(), "ASHLAR_ROOT="+d.layout.Root, kit.EnvTree+"="+tree,
		fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	cmd.Env = append(cmd.Env, env...)
	log, err := os.OpenFile(d.layout.LogFile(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(d.t, err)
	defer log.Close()
	cmd.Stderr = log
	check(d.t, cmd.Start())
	p := &process{cmd: cmd, name: name, life: lifecyclev1.NewLifecycleClient(d.conn(lifeSocket)), done: make(chan struct{})}
	go func() { defer close(p.done); _ = cmd.Wait() }()
	return p
}

// listenUnix is a listening socket as the supervisor hands it over.
func listenUnix(t testing.TB, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	check(t, err)
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	check(t, err)
	check(t, l.Close())
	return f
}

// tell makes a lifecycle call that must succeed.
func (d *device) tell(p *process, what string, call func(context.Context) error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := call(ctx); err != nil {
		log, _ := os.ReadFile(d.layout.LogFile(p.name))
		d.t.Fatalf("%s %s: %v\n%s", what, p.name, err, log)
	}
}

// activate gives a process a token that is newer than all before.
func (d *device) activate(p *process) {
	d.t.Helper()
	d.token++
	d.tell(p, "activate", func(ctx context.Context) error {
		_, err := p.life.Activate(ctx, &lifecyclev1.ActivateRequest{FencingToken: d.token})
		return err
	})
}

func (d *device) freeze(p *process) {
	d.t.Helper()
	d.tell(p, "freeze", func(ctx context.Context) error {
		_, err := p.life.Freeze(ctx, &lifecyclev1.FreezeRequest{})
		return err
	})
}

func (d *device) unfreeze(p *process) {
	d.t.Helper()
	d.tell(p, "unfreeze", func(ctx context.Context) error {
		_, err := p.life.Unfreeze(ctx, &lifecyclev1.UnfreezeRequest{})
		return err
	})
}

func (d *device) drain(p *process, limit time.Duration) {
	d.t.Helper()
	d.tell(p, "drain", func(ctx context.Context) error {
		_, err := p.life.Drain(ctx, &lifecyclev1.DrainRequest{LimitMs: uint32(limit.Milliseconds())})
		return err
	})
}

func (d *device) rehearse(p *process) (out *lifecyclev1.RehearseResponse) {
	d.t.Helper()
	d.tell(p, "rehearse", func(ctx context.Context) (err error) {
		out, err = p.life.Rehearse(ctx, &lifecyclev1.RehearseRequest{})
		return err
	})
	return out
}

func (d *device) startState() { d.state = d.run("state", stated) }

// startConfig starts configd; die says when it kills itself.
func (d *device) startConfig(die string) {
	d.t.Helper()
	d.config = d.stageConfig(die)
	d.activate(d.config)
}

// stageConfig starts configd without a token.
func (d *device) stageConfig(die string) *process {
	d.t.Helper()
	self, err := os.Executable()
	check(d.t, err)
	return d.stage("config", self, envDie+"="+die)
}

// kill ends a process without a word.
func (p *process) kill() {
	if p != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// conn returns a connection to a unix socket in the run directory, closed with the test.
func (d *device) conn(socket string) *grpc.ClientConn {
	d.t.Helper()
	conn, err := grpc.NewClient("unix://"+d.layout.Socket(socket), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "waitForReady": true}]}`))
	check(d.t, err)
	d.t.Cleanup(func() { conn.Close() })
	return conn
}

// waitReady waits until the domain probe of config succeeds.
func (d *device) waitReady() {
	d.t.Helper()
	reason := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		got, err := d.config.life.Health(ctx, &lifecyclev1.HealthRequest{})
		cancel()
		if err == nil && got.GetReady() {
			return
		}
		reason = fmt.Sprint(got.GetReason(), err)
	}
	log, _ := os.ReadFile(d.layout.LogFile("config"))
	d.t.Fatalf("config is not ready: %s\n%s", reason, log)
}

func (d *device) gnmi() pb.GNMIClient { return pb.NewGNMIClient(d.conn("gnmi.sock")) }

func (d *device) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	d.t.Cleanup(cancel)
	return ctx
}

// set updates JSON values by path.
func (d *device) set(client pb.GNMIClient, values ...string) error {
	r := &pb.SetRequest{}
	for i := 0; i < len(values); i += 2 {
		r.Update = append(r.Update, &pb.Update{Path: gpath.MustParse(values[i]), Val: &pb.TypedValue{
			Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(values[i+1])},
		}})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := client.Set(ctx, r)
	return err
}

// get is a leaf as JSON.
func (d *device) get(client pb.GNMIClient, path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := client.Get(ctx, &pb.GetRequest{Path: []*pb.Path{gpath.MustParse(path)}, Encoding: pb.Encoding_JSON_IETF})
	if err != nil {
		return "", err
	}
	return string(got.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal()), nil
}

// kernel is what an owner has in effect. It implements owner.Handler.
type kernel struct {
	mu      sync.Mutex
	objects map[string]json.RawMessage
}

func (k *kernel) Prepare(context.Context, owner.Change) error { return nil }

func (k *kernel) Commit(_ context.Context, c owner.Change) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, o := range c.Objects {
		k.objects[gpath.String(o.Path)] = o.New
	}
	return nil
}

func (k *kernel) Restore(_ context.Context, s owner.Snapshot) []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.objects)
	for path, o := range s.Objects {
		k.objects[path] = o.New
	}
	return nil
}

func (k *kernel) has(path string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(k.objects[path])
}

// own runs an owner with the kit for the rest of the test.
func (d *device) own(patterns ...string) (*kernel, *owner.Owner) {
	d.t.Helper()
	k := &kernel{objects: map[string]json.RawMessage{}}
	o := owner.New(patterns, k)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	conn := d.conn("config.sock")
	go func() {
		defer close(ended)
		_ = o.Run(ctx, discard, conn, func(context.Context) (uint64, error) { return 1, nil })
	}()
	d.t.Cleanup(func() { cancel(); <-ended })
	return k, o
}

// eventually waits until a check is nil.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	err := check()
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); err = check() {
		time.Sleep(2 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
