// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// process is a component's, started from an unpacked package with the two sockets that matter here.
type process struct {
	component      string
	cmd            *exec.Cmd
	lifecycle, api *grpc.ClientConn
	log            bytes.Buffer
}

// run starts a component as the supervisor does, in a directory of its own. Without neighbours it can do nothing to this machine.
func run(t *testing.T, kind Kind, component string, after time.Duration) *process {
	t.Helper()
	m := testMaker(t)
	made, err := m.Make(context.Background(), Spec{Kind: kind, Component: component, Version: version, After: after})
	if err != nil {
		t.Fatal(err)
	}
	p, err := rpm.Open(made.RPM, trusted(t, m))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := p.Unpack(tree); err != nil {
		t.Fatal(err)
	}
	place, err := layout.New(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(place.Roster()), 0o755), roster.Write(place.Roster(), roster.Roster{})); err != nil {
		t.Fatal(err)
	}
	out := &process{component: component, cmd: exec.Command(filepath.Join(tree, p.Manifest.Run.Command[0]), p.Manifest.Run.Command[1:]...)}
	lifecycle, api := listen(t, filepath.Join(dir, "life.sock")), listen(t, filepath.Join(dir, "api.sock"))
	out.cmd.ExtraFiles = []*os.File{lifecycle, api}
	out.cmd.Env = []string{"ASHLAR_TREE=" + tree, layout.EnvRoot + "=" + filepath.Join(dir, "root"), "LISTEN_FDS=2", "LISTEN_FDNAMES=lifecycle:api"}
	out.cmd.Stderr = &out.log
	if err := out.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lifecycle.Close()
	api.Close()
	t.Cleanup(func() {
		_, _ = out.cmd.Process.Kill(), out.cmd.Wait()
		if t.Failed() {
			t.Logf("ended with %v; its log: %s", out.cmd.ProcessState, out.log.String())
		}
	})
	out.lifecycle, out.api = dial(t, filepath.Join(dir, "life.sock")), dial(t, filepath.Join(dir, "api.sock"))
	return out
}

func listen(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func dial(t *testing.T, path string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// limit bounds each call.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (p *process) activate(t *testing.T) {
	t.Helper()
	client := lifecyclev1.NewLifecycleClient(p.lifecycle)
	description, err := client.Describe(limit(t), &lifecyclev1.DescribeRequest{})
	if err != nil || description.GetComponent() != p.component || description.GetVersion() != version || int(description.GetPid()) != p.cmd.Process.Pid {
		t.Fatalf("describes itself as %v, %v; want %s %s with pid %d", description, err, p.component, version, p.cmd.Process.Pid)
	}
	if _, err := client.Activate(limit(t), &lifecyclev1.ActivateRequest{FencingToken: 7}); err != nil {
		t.Fatal(err)
	}
}

// The real program answers as its package says, and is gone a while after its activation.
func TestCrashAfterActivation(t *testing.T) {
	p := run(t, Crash, "state", 300*time.Millisecond)
	p.activate(t)
	begin := time.Now()
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v, want a SIGKILL", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if log := p.log.String(); !strings.Contains(log, `"version":"`+version+`"`) || !strings.Contains(log, "shim: crash") {
		t.Errorf("the log says %s", log)
	}
}

// The impostor says that all is well, before and after its activation, and does nothing.
func TestIdleOnlyPretends(t *testing.T) {
	p := run(t, Idle, "rib", 0)
	client := lifecyclev1.NewLifecycleClient(p.lifecycle)
	rehearsal, err := client.Rehearse(limit(t), &lifecyclev1.RehearseRequest{})
	if err != nil || !rehearsal.GetSynced() || len(rehearsal.GetOutputs()) != 0 {
		t.Errorf("would write %v, %v; want synced and nothing", rehearsal, err)
	}
	p.activate(t)
	if h, err := client.Health(limit(t), &lifecyclev1.HealthRequest{}); err != nil || !h.GetReady() {
		t.Errorf("health %v, %v", h, err)
	}
	if h, err := healthv1.NewHealthClient(p.lifecycle).Check(limit(t), &healthv1.HealthCheckRequest{}); err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health %v, %v", h, err)
	}
	if _, err := ribv1.NewRibClient(p.api).Lookup(limit(t), &ribv1.LookupRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("lookup: %v", err)
	}
}

func TestHangNeverAnswers(t *testing.T) {
	p := run(t, Hang, "rib", 0)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if d, err := lifecyclev1.NewLifecycleClient(p.lifecycle).Describe(ctx, &lifecyclev1.DescribeRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v, %v", d, err)
	}
}
