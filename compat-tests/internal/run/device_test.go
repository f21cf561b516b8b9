// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/contract"
	"github.com/ashlar-nos/ashlar/lab/repository"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/rpm"
)

// build is where `make rpm` puts things.
const build = "../../../build"

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests run whole devices in network namespaces: run them as root")
		os.Exit(1)
	}
	make := exec.Command("make", "--silent", "--directory", filepath.Dir(build), "rpm")
	make.Env = append(os.Environ(), "MAKEFLAGS=")
	if out, err := make.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "make rpm: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// start runs a device of the newest packages, and returns it with the edges that it can be tested on.
func start(t *testing.T) (*device, []edge) {
	t.Helper()
	key, err := rpm.LoadKey(filepath.Join(build, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := repository.Open(filepath.Join(build, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := members(r, key.Keyring(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sets := columns(r)
	set := in(sets[len(sets)-1], all)
	o := Options{Build: build, Repository: r.Directory}
	d, err := startDevice(t.Context(), o, fmt.Sprintf("compat-test-%d", os.Getpid()), sets[len(sets)-1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var failure error
		if t.Failed() {
			failure = io.ErrUnexpectedEOF
		}
		if err := d.end(context.Background(), failure); err != nil {
			t.Error(err)
		}
	})
	return d, edges(set, set)
}

// What components call of each other, in all that they do on a device, is in their contract files; and a provider that lacks
// one method of a file fails on every interaction of it.
func TestDevice(t *testing.T) {
	d, all := start(t)
	if len(all) == 0 {
		t.Fatal("there is no edge")
	}
	t.Run("calls", func(t *testing.T) { checkCalls(t, d, all) })
	t.Run("missing methods", func(t *testing.T) { checkMissing(t, d, all) })
}

func checkCalls(t *testing.T, d *device, all []edge) {
	conn, err := d.socket("supervisor.sock")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deviceLimit)
	defer cancel()
	if _, err := supervisorv1.NewSupervisorClient(conn).Restart(ctx, &supervisorv1.RestartRequest{Component: "rib"}); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{} // "consumer /package.Service/Method"
	for _, e := range all {
		for _, method := range e.file.Methods() {
			known[e.file.Consumer+" "+method] = true
		}
	}
	seen := 0
	for _, component := range d.lab.Device.Components() {
		text := scrape(t, d.lab.Device.Layout.Socket(component+".metrics.sock"))
		for _, method := range started(text, "client") {
			seen++
			if !known[component+" "+method] {
				t.Errorf("%s calls %s, which no contract file of it has", component, method)
			}
		}
		for _, method := range started(text, "server") {
			if strings.HasPrefix(method, "/"+lifecycleContract+".") && !known["supervisor "+method] {
				t.Errorf("the supervisor calls %s of %s, which its contract file does not have", method, component)
			}
		}
	}
	if seen == 0 {
		t.Error("no component has called another: the metrics are not what this test reads")
	}
}

// scrape reads metrics from a component's socket.
func scrape(t *testing.T, socket string) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	r, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://component/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var startedLine = regexp.MustCompile(`(?m)^grpc_(client|server)_started_total\{grpc_method="(\w+)",grpc_service="(ashlar\.[\w.]+)",[^}]*\} ([0-9.e+]+)$`)

// started are the methods of which at least one call began on a side.
func started(metrics, side string) (methods []string) {
	for _, m := range startedLine.FindAllStringSubmatch(metrics, -1) {
		if method := "/" + m[3] + "/" + m[2]; m[1] == side && m[4] != "0" && !slices.Contains(methods, method) {
			methods = append(methods, method)
		}
	}
	return methods
}

// without is a provider that lacks one method.
type without struct {
	grpc.ClientConnInterface
	method string
}

func (w without) Invoke(ctx context.Context, method string, in, out any, options ...grpc.CallOption) error {
	if method == w.method {
		return status.Error(codes.Unimplemented, "there is no such method")
	}
	return w.ClientConnInterface.Invoke(ctx, method, in, out, options...)
}

func (w without) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	if method == w.method {
		return nil, status.Error(codes.Unimplemented, "there is no such method")
	}
	return w.ClientConnInterface.NewStream(ctx, d, method, options...)
}

func checkMissing(t *testing.T, d *device, all []edge) {
	for _, e := range all {
		p, err := d.player(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		whole := p.Provider
		for _, method := range e.file.Methods() {
			p.Provider = without{whole, method}
			played, failures := p.Play(t.Context(), e.file, func(i contract.Interaction) bool { return e.file.FullMethod(i) == method })
			if played == 0 || len(failures) != played {
				t.Errorf("%s for %s: without %s, %d of %d interactions fail", e.file.Consumer, e.provider, method, len(failures), played)
			}
		}
	}
}
