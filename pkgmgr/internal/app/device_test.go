// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// patience bounds every wait of the tests; what is awaited takes far less on an idle machine.
const patience = 20 * time.Second

// programs are the binaries under test, in a directory that every user may enter.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Geteuid() != 0 {
			fmt.Fprintln(os.Stderr, "these tests start components under users of their own: run them as root")
			return 1
		}
		dir, err := publicDirectory()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		programs = dir
		for name, pkg := range map[string]string{"ashlard": "../../ashlard", "component": "./testdata/component"} {
			if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// publicDirectory is a temporary directory that every user may enter.
func publicDirectory() (string, error) {
	dir, err := os.MkdirTemp("", "ashlard-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// device is a supervisor process with its own root.
type device struct {
	t          *testing.T
	layout     layout.Layout
	generation string
	command    *exec.Cmd
	exited     chan error
	client     supervisorv1.SupervisorClient
}

// newDevice makes a device whose generation has the given components; it is not started. At the end of
// the test everything is cleaned away, and what should be gone is looked for.
func newDevice(t *testing.T, components ...component) *device {
	t.Helper()
	dir, err := publicDirectory()
	if err != nil {
		t.Fatal(err)
	}
	l, err := layout.New(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	d := &device{t: t, layout: l, generation: filepath.Join(dir, "generation")}
	for _, c := range components {
		c.install(t, d.generation)
	}
	conn, err := grpc.NewClient("unix://"+l.Socket("supervisor.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: patience, Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.2, MaxDelay: 100 * time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	d.client = supervisorv1.NewSupervisorClient(conn)
	t.Cleanup(func() {
		conn.Close()
		if t.Failed() {
			d.dumpLogs()
		}
		d.kill()
		d.clean()
		os.RemoveAll(dir)
	})
	return d
}

// component is one member of a generation, by what its manifest says.
type component struct {
	name, provides string
	requires       []string
	// version is 1.0.0 when empty; handover is takeover.
	version, handover string
	// level is the lowest that is good enough for it, 1 when 0.
	level int
	// more is added to the manifest as it is.
	more string
}

func (c component) manifest() string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\ndaemon: %sd\nversion: %s\nsummary: a test\n", c.name, c.name, cmp.Or(c.version, "1.0.0"))
	fmt.Fprintf(&b, "handover: %s\n", cmp.Or(c.handover, "takeover"))
	fmt.Fprintf(&b, "provides: [{contract: ashlar.lifecycle.v1, level: 2}")
	if c.provides != "" {
		fmt.Fprintf(&b, ", {contract: %s, level: 2}", c.provides)
	}
	fmt.Fprintf(&b, "]\nrequires: [")
	for i, r := range c.requires {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "{contract: %s, levels: {min: %d}}", r, max(c.level, 1))
	}
	fmt.Fprintf(&b, "]\nrun: {command: [bin/%sd]}\ndrain: 2s\n", c.name)
	fmt.Fprintf(&b, "sockets:\n  - {name: api, unix: %s.sock, mode: \"0666\"}\n  - {name: echo, unix: %s.echo.sock, mode: \"0600\"}\n", c.name, c.name)
	b.WriteString(c.more)
	return b.String()
}

func (c component) install(t *testing.T, generation string) {
	t.Helper()
	c.place(t, filepath.Join(generation, c.name))
}

// place makes the component's tree.
func (c component) place(t *testing.T, tree string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(tree, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(programs, "component"), filepath.Join(tree, "bin", c.name+"d")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "component.yaml"), []byte(c.manifest()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start starts the supervisor and does not wait for anything.
func (d *device) start() {
	d.t.Helper()
	d.command = exec.Command(filepath.Join(programs, "ashlard"), "--root", d.layout.Root, "--generation", d.generation)
	d.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := d.command.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan error, 1)
	go func(c *exec.Cmd, exited chan<- error) { exited <- c.Wait(); close(exited) }(d.command, d.exited)
}

// startReady starts the supervisor and waits until every component is ready.
func (d *device) startReady() {
	d.t.Helper()
	d.start()
	for _, c := range d.list() {
		d.await(c.GetName(), "to be ready", isReady)
	}
}

// signal sends the supervisor a signal and waits until it has ended.
func (d *device) signal(sig syscall.Signal) {
	d.t.Helper()
	if d.command == nil {
		return
	}
	if err := d.command.Process.Signal(sig); err != nil {
		d.t.Logf("signal the supervisor: %v", err)
	}
	select {
	case <-d.exited:
		d.command = nil
	case <-time.After(patience):
		d.t.Fatalf("the supervisor did not end after %v", sig)
	}
}

func (d *device) kill() { d.signal(syscall.SIGKILL) }

func (d *device) clean() {
	d.t.Helper()
	out, err := exec.Command(filepath.Join(programs, "ashlard"), "clean", "--root", d.layout.Root).CombinedOutput()
	if err != nil {
		d.t.Errorf("clean: %v: %s", err, out)
	}
}

// wait bounds a call.
func wait() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// list asks for all components and waits for the supervisor's socket.
func (d *device) list() []*supervisorv1.ComponentStatus {
	d.t.Helper()
	ctx, cancel := wait()
	defer cancel()
	for {
		r, err := d.client.List(ctx, &supervisorv1.ListRequest{}, grpc.WaitForReady(true))
		if status.Code(err) == codes.Unavailable {
			continue // asked of a supervisor that was just killed
		}
		if err != nil {
			d.t.Fatalf("list: %v", err)
		}
		return r.GetComponents()
	}
}

func (d *device) get(name string) *supervisorv1.ComponentStatus {
	d.t.Helper()
	for _, c := range d.list() {
		if c.GetName() == name {
			return c
		}
	}
	d.t.Fatalf("no component %s", name)
	return nil
}

// await follows the component's state by Watch until it is as wanted.
func (d *device) await(name, what string, is func(*supervisorv1.ComponentStatus) bool) *supervisorv1.ComponentStatus {
	d.t.Helper()
	ctx, cancel := wait()
	defer cancel()
	stream, err := d.client.Watch(ctx, &supervisorv1.WatchRequest{}, grpc.WaitForReady(true))
	if err != nil {
		d.t.Fatal(err)
	}
	var last *supervisorv1.ComponentStatus
	for {
		r, err := stream.Recv()
		if err != nil {
			d.t.Fatalf("waiting for %s %s: %v; last seen: %v", name, what, err, last)
		}
		if c := r.GetComponent(); c.GetName() == name {
			if last = c; is(c) {
				return c
			}
		}
	}
}

func isReady(c *supervisorv1.ComponentStatus) bool {
	return c.GetPhase() == supervisorv1.Phase_PHASE_READY
}

// successorOf is ready under another pid.
func successorOf(pid int32) func(*supervisorv1.ComponentStatus) bool {
	return func(c *supervisorv1.ComponentStatus) bool { return isReady(c) && c.GetPid() != pid }
}

// say sends one command to the component's echo socket and returns the answer. Being refused fails the test.
func (d *device) say(name, command string) string {
	d.t.Helper()
	c, err := net.Dial("unix", d.layout.Socket(name+".echo.sock"))
	if err != nil {
		d.t.Fatalf("%s refuses connections: %v", name, err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintln(c, command)
	answer, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(answer)
}

// flag puts a file into the component's state directory, or takes it away.
func (d *device) flag(name, flag string, set bool) {
	d.t.Helper()
	dir := d.layout.ComponentState(name)
	file := filepath.Join(dir, flag)
	if !set {
		if err := os.Remove(file); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) log(name string) string {
	text, _ := os.ReadFile(d.layout.LogFile(name))
	return string(text)
}

func (d *device) dumpLogs() {
	files, _ := filepath.Glob(filepath.Join(d.layout.LogDir(), "*.log"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		d.t.Logf("%s:\n%s", filepath.Base(f), text)
	}
}

// alive reports whether a process is there and no zombie.
func alive(pid int32) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ") && unix.Kill(int(pid), 0) == nil
}
