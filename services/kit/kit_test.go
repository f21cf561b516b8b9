// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/fdpass"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCommitReachesTelemetry(t *testing.T) {
	d := kittest.Start(t, manifestYAML, newBanner)
	d.WaitReady()
	ctx := deadline(t)
	if err := d.Config.Set(ctx, map[string]string{"/system/config/login-banner": `"keep off"`}); err != nil {
		t.Fatal(err)
	}
	if got := bannerState(ctx, t, d); got != "keep off" {
		t.Errorf("state says %q, want the committed banner", got)
	}
}

// bannerState reads the snapshot of the component's telemetry.
func bannerState(ctx context.Context, t *testing.T, d *kittest.Device) string {
	t.Helper()
	stream, err := telemetryv1.NewTelemetryClient(d.Dial()).Subscribe(ctx, &telemetryv1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetSynced() != nil {
			return got
		}
		for _, u := range m.GetNotification().GetUpdate() {
			got = u.GetVal().GetStringVal()
		}
	}
}

func TestRefusalChangesNothing(t *testing.T) {
	d := kittest.Start(t, manifestYAML, newBanner)
	ctx := deadline(t)
	if err := d.Config.Set(ctx, map[string]string{"/system/config/login-banner": `"first"`}); err != nil {
		t.Fatal(err)
	}
	err := d.Config.Set(ctx, map[string]string{"/system/config/login-banner": `"` + strings.Repeat("x", 200) + `"`})
	refused, ok := err.(*kittest.Refused)
	if !ok || codes.Code(refused.GetCode()) != codes.InvalidArgument || !strings.Contains(err.Error(), "/system/config/login-banner") {
		t.Errorf("got %v, want a refusal with code and path", err)
	}
	if got := bannerState(ctx, t, d); got != "first" {
		t.Errorf("state says %q after a refusal, want it unchanged", got)
	}
}

func TestRestartRestoresTheSnapshot(t *testing.T) {
	d := kittest.Start(t, manifestYAML, newBanner)
	ctx := deadline(t)
	if err := d.Config.Set(ctx, map[string]string{"/system/config/login-banner": `"kept"`}); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	d.Run()
	d.WaitReady()
	if got := bannerState(ctx, t, d); got != "kept" {
		t.Errorf("state says %q after a restart, want what was committed", got)
	}
}

func TestDescribe(t *testing.T) {
	d := kittest.Start(t, manifestYAML, newBanner)
	got, err := lifecyclev1.NewLifecycleClient(d.Dial()).Describe(deadline(t), &lifecyclev1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetComponent() != "banner" || got.GetVersion() != "1.0.0" || got.GetFencingToken() != 1 || len(got.GetProvides()) != 2 {
		t.Errorf("got %v", got)
	}
	for _, c := range got.GetProvides() {
		if len(c.GetDescriptorSha256()) != 32 {
			t.Errorf("%s has a digest of %d bytes", c.GetName(), len(c.GetDescriptorSha256()))
		}
	}
}

func TestTokenOnlyGrows(t *testing.T) {
	d := kittest.Start(t, manifestYAML, newBanner)
	client, ctx := lifecyclev1.NewLifecycleClient(d.Dial()), deadline(t)
	for _, tt := range []struct {
		token uint64
		want  codes.Code
	}{{7, codes.OK}, {7, codes.OK}, {6, codes.FailedPrecondition}, {0, codes.FailedPrecondition}, {8, codes.OK}} {
		_, err := client.Activate(ctx, &lifecyclev1.ActivateRequest{FencingToken: tt.token})
		if status.Code(err) != tt.want {
			t.Errorf("token %d: got %v, want %v", tt.token, err, tt.want)
		}
	}
}

func TestGRPCHealthFollowsTheProbe(t *testing.T) {
	d := kittest.Start(t, manifestYAML, newBanner)
	d.WaitReady()
	client := healthv1.NewHealthClient(d.Dial())
	got, err := client.Check(deadline(t), &healthv1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v, want SERVING", got, err)
	}
	if _, err := client.Check(deadline(t), &healthv1.HealthCheckRequest{Service: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("got %v for an unknown service, want NotFound", err)
	}
}

// panicking panics in every call of its probe.
type panicking struct{ banner }

func (p *panicking) Probe(context.Context) error { panic("in the probe") }

func TestPanicStaysInItsCall(t *testing.T) {
	d := kittest.Start(t, manifestYAML, func(ctx context.Context, rt *kit.Runtime) (kit.Service, error) {
		s, err := newBanner(ctx, rt)
		return &panicking{*s.(*banner)}, err
	})
	client, ctx := lifecyclev1.NewLifecycleClient(d.Dial()), deadline(t)
	if _, err := client.Health(ctx, &lifecyclev1.HealthRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("got %v, want Internal", err)
	}
	if _, err := client.Describe(ctx, &lifecyclev1.DescribeRequest{}); err != nil {
		t.Errorf("the component did not outlive a panic in one call: %v", err)
	}
}

func TestMetricsAreServed(t *testing.T) {
	d := kittest.Start(t, manifestYAML, newBanner)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.Layout.Socket("banner.metrics.sock"))
	}}}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://banner/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || !strings.Contains(string(text), `grpc_server_handled_total{grpc_code="OK",grpc_method="Activate"`) {
		t.Errorf("the metrics lack the calls: %v", err)
	}
}

func TestServedMustBeInTheManifest(t *testing.T) {
	for desc, change := range map[string][2]string{
		"a contract that the manifest leaves out": {"  - {contract: ashlar.lifecycle.v1, level: 2}\n", ""},
		"a contract that is not served":           {"provides:\n", "provides:\n  - {contract: ashlar.rib.v1, level: 1}\n"},
		"another level":                           {"ashlar.lifecycle.v1, level: 2", "ashlar.lifecycle.v1, level: 9"},
	} {
		text := strings.Replace(string(manifestYAML), change[0], change[1], 1)
		d := kittest.New(t, []byte(text), newBanner)
		rt, err := kit.Embed([]byte(text), d.Layout, d.Layout.Root, nil, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Serve(deadline(t), newBanner); err == nil || !strings.Contains(err.Error(), "component.yaml") {
			t.Errorf("%s: got %v, want an error that names component.yaml", desc, err)
		}
	}
}

func TestSocketsAreReturnedToANewSupervisor(t *testing.T) {
	d := kittest.Start(t, manifestYAML, newBanner)
	address := &net.UnixAddr{Name: d.Layout.DescriptorSocket(), Net: fdpass.Network}
	for supervisor := range 2 {
		l, err := net.ListenUnix(fdpass.Network, address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		var got fdpass.Return
		files, err := fdpass.Receive(conn, &got)
		if err != nil {
			t.Fatal(err)
		}
		if got.Component != "banner" || got.PID != os.Getpid() || len(got.Names) != 3 || len(files) != 3 {
			t.Errorf("supervisor %d got %+v and %d descriptors", supervisor, got, len(files))
		}
		for _, f := range files {
			f.Close()
		}
		conn.Close()
		l.Close()
	}
}

// probeSocket names the variable that turns this test binary into a client of the socket.
const probeSocket = "KIT_TEST_PROBE_SOCKET"

func TestMain(m *testing.M) {
	if socket := os.Getenv(probeSocket); socket != "" {
		os.Exit(int(callDescribe(socket)))
	}
	os.Exit(m.Run())
}

func callDescribe(socket string) codes.Code {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return codes.Unknown
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = lifecyclev1.NewLifecycleClient(conn).Describe(ctx, &lifecyclev1.DescribeRequest{})
	return status.Code(err)
}

func TestStrangersAreRefused(t *testing.T) {
	requireRoot(t)
	d := kittest.Start(t, manifestYAML, newBanner)
	if err := os.Chmod(d.Layout.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	// Mode and path let everybody connect; only the identity decides.
	if err := os.Chmod(d.Layout.Socket("banner.sock"), 0o666); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]codes.Code{0: codes.OK, 4242: codes.PermissionDenied} {
		if got := asUser(t, uid, d.Layout.Socket("banner.sock")); got != want {
			t.Errorf("uid %d got %v, want %v", uid, got, want)
		}
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test switches users: run it as root")
	}
}

func asUser(t *testing.T, uid uint32, socket string) codes.Code {
	t.Helper()
	// A copy that the user may read and execute, wherever the test binary lies.
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "kit-user")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	binary := dir + "/probe"
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary)
	c.Env = []string{probeSocket + "=" + socket}
	c.Dir = "/"
	c.SysProcAttr = credential(uid)
	err = c.Run()
	if err == nil {
		return codes.OK
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		t.Fatal(err)
	}
	return codes.Code(exit.ExitCode())
}

// slow holds its probe until told, as a call in flight.
type slow struct {
	banner
	entered, leave chan struct{}
	ran            chan struct{}
}

func (s *slow) Probe(context.Context) error {
	close(s.entered)
	<-s.leave
	select {
	case <-s.ran:
		return errors.New("the service ended before its calls")
	default:
		return nil
	}
}

func (s *slow) Run(ctx context.Context) error {
	<-ctx.Done()
	close(s.ran)
	return nil
}

func TestDrainLetsCallsInFlightEnd(t *testing.T) {
	s := &slow{entered: make(chan struct{}), leave: make(chan struct{}), ran: make(chan struct{})}
	d := kittest.Start(t, manifestYAML, func(ctx context.Context, rt *kit.Runtime) (kit.Service, error) { return s, nil })
	client, ctx := lifecyclev1.NewLifecycleClient(d.Dial()), deadline(t)
	answered := make(chan error, 1)
	go func() {
		h, err := client.Health(ctx, &lifecyclev1.HealthRequest{})
		if err == nil && !h.GetReady() {
			err = errors.New(h.GetReason())
		}
		answered <- err
	}()
	<-s.entered
	if _, err := client.Drain(ctx, &lifecyclev1.DrainRequest{}); err != nil {
		t.Fatal(err)
	}
	close(s.leave)
	if err := <-answered; err != nil {
		t.Errorf("a call in flight when the drain began: %v", err)
	}
	d.Stop()
}
