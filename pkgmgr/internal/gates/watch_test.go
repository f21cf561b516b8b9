// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/meter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ engine.Gates = (*Gates)(nil)

// village is components that show counters.
type village struct {
	t      *testing.T
	layout layout.Layout

	mu      sync.Mutex
	crashes map[string]uint64
	mute    bool
	texts   map[string]string
	ids     map[string]string
	stops   map[string]func()
}

func newVillage(t *testing.T) *village {
	t.Helper()
	root, err := os.MkdirTemp("", "gat")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	l, err := layout.New(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.RunDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	return &village{t: t, layout: l, crashes: map[string]uint64{}, texts: map[string]string{}, ids: map[string]string{}, stops: map[string]func(){}}
}

func (v *village) List(context.Context, *supervisorv1.ListRequest, ...grpc.CallOption) (*supervisorv1.ListResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mute {
		return nil, errors.New("nobody is there")
	}
	out := &supervisorv1.ListResponse{}
	for name, n := range v.crashes {
		out.Components = append(out.Components, &supervisorv1.ComponentStatus{Name: name, Crashes: n})
	}
	return out, nil
}

// process makes a component show lines as a process.
func (v *village) process(component string, id int, lines ...string) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.texts[component], v.ids[component] = strings.Join(lines, "\n")+"\n", fmt.Sprint(id)
	if _, ok := v.crashes[component]; !ok && component != supervisorName {
		v.crashes[component] = 0
	}
	if v.stops[component] != nil {
		return
	}
	l, err := net.Listen("unix", v.layout.Socket(component+".metrics.sock"))
	if err != nil {
		v.t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.Query()["name[]"]) == 0 {
			v.t.Errorf("%s was asked for everything", component)
		}
		v.mu.Lock()
		text := v.texts[component]
		w.Header().Set(meter.ProcessHeader, v.ids[component])
		v.mu.Unlock()
		_, _ = w.Write([]byte(text))
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	v.stops[component] = sync.OnceFunc(func() { s.Close(); <-done })
	v.t.Cleanup(v.stops[component])
}

// stop ends a component's process.
func (v *village) stop(component string) {
	v.stops[component]()
	v.mu.Lock()
	v.stops[component] = nil
	v.mu.Unlock()
}

func pack(component, version string, gates ...manifest.Gate) *store.Package {
	return &store.Package{Component: component, Version: version, Manifest: &manifest.Manifest{
		Name: component, Version: version, Gates: gates, Sockets: []manifest.Socket{{Name: "api", Unix: component + ".sock"}, {Name: metricsSocket, Unix: component + ".metrics.sock"}},
	}}
}

// begin starts the watch of a step.
func (v *village) begin(successor *store.Package, members ...*store.Package) engine.Watch {
	v.t.Helper()
	w, err := New(v.layout, v).Begin(v.t.Context(), members, successor)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(w.Close)
	return w
}

// want reads and compares: "packets lost 3", or "packets lost missing: reason".
func want(t *testing.T, w engine.Watch, lines ...string) {
	t.Helper()
	var got []string
	for _, r := range w.Read(t.Context()) {
		text := fmt.Sprintf("%s %d", r.Name, r.Value)
		if r.Missing != "" {
			text = r.Name + " missing: " + r.Missing
		}
		got = append(got, text)
	}
	if len(got) != len(lines) {
		t.Fatalf("read %q, want %q", got, lines)
	}
	for i := range lines {
		if got[i] != lines[i] && (!strings.HasSuffix(lines[i], "…") || !strings.HasPrefix(got[i], strings.TrimSuffix(lines[i], "…"))) {
			t.Errorf("read %q, want %q", got, lines)
			return
		}
	}
}

func failed(code string, n int) string {
	return fmt.Sprintf(`grpc_client_handled_total{grpc_code=%q,grpc_method="Program",grpc_service="ashlar.dataplane.v1.Dataplane",grpc_type="unary"} %d`, code, n)
}

func lost(n int) string {
	return fmt.Sprintf(`ashlar_dataplane_packets_total{verdict="dropped",reason="redirect-failed"} %d`, n)
}

var packetsLost = manifest.Gate{Name: "packets lost", Metric: "ashlar_dataplane_packets_total", Where: map[string]string{"verdict": "dropped", "reason": "redirect-failed"}, Survives: true}

func TestCallsFailed(t *testing.T) {
	v := newVillage(t)
	v.process("rib", 100, failed("Unavailable", 5), failed("OK", 100))
	v.process("config", 100)
	w := v.begin(nil, pack("rib", "1.0.0"), pack("config", "1.0.0"))
	want(t, w, "calls failed 0", "crashes 0")
	v.process("rib", 100, failed("Unavailable", 6), failed("OK", 200), failed("NotFound", 7), strings.Replace(failed("Internal", 9), "unary", "server_stream", 1))
	want(t, w, "calls failed 1", "crashes 0")
	v.process("config", 100, failed("DeadlineExceeded", 2))
	want(t, w, "calls failed 3", "crashes 0")
}

func TestReplacedProcessCountsFromZero(t *testing.T) {
	v := newVillage(t)
	v.process("rib", 100, failed("Unavailable", 5))
	w := v.begin(pack("rib", "1.1.0"), pack("rib", "1.0.0"))
	v.process("rib", 100, failed("Unavailable", 6))
	want(t, w, "calls failed 1", "crashes 0")
	v.process("rib", 200, failed("Unavailable", 5)) // as many as before, and all of them new
	want(t, w, "calls failed 6", "crashes 0")
	v.process("rib", 200, failed("Unavailable", 7))
	want(t, w, "calls failed 8", "crashes 0")
	// While the old one drains, it may still be the one that answers.
	v.process("rib", 100, failed("Unavailable", 6))
	want(t, w, "calls failed 8", "crashes 0")
}

func TestSurvivingCounter(t *testing.T) {
	v := newVillage(t)
	v.process("dataplane", 100, lost(17))
	w := v.begin(pack("dataplane", "1.1.0", packetsLost), pack("dataplane", "1.0.0", packetsLost))
	v.process("dataplane", 200, lost(17))
	want(t, w, "calls failed 0", "packets lost 0", "crashes 0")
	v.process("dataplane", 200, lost(19))
	want(t, w, "calls failed 0", "packets lost 2", "crashes 0")
	// The new version made its maps anew.
	v.process("dataplane", 300, lost(1))
	want(t, w, "calls failed 0", "packets lost 2", "crashes 0")
	v.process("dataplane", 300, lost(4))
	want(t, w, "calls failed 0", "packets lost 4", "crashes 0")
}

func TestGateOfOneVersion(t *testing.T) {
	repairs := manifest.Gate{Name: "table repairs", Metric: "repairs_total"}
	for desc, tt := range map[string]struct {
		old, next []manifest.Gate
		lines     []string
		want      string
	}{
		"the new one declares it and has it":      {next: []manifest.Gate{repairs}, lines: []string{"repairs_total 2"}, want: "table repairs 2"},
		"the new one declares it and has it not":  {next: []manifest.Gate{repairs}, want: "table repairs missing: dataplane has no metric repairs_total, which its manifest declares as a gate"},
		"the old one declared it":                 {old: []manifest.Gate{repairs}, want: "table repairs 0"},
		"both declare it, the new one has it not": {old: []manifest.Gate{repairs}, next: []manifest.Gate{repairs}, want: "table repairs missing: dataplane has no metric…"},
	} {
		t.Run(desc, func(t *testing.T) {
			v := newVillage(t)
			v.process("dataplane", 100)
			if tt.old != nil {
				v.process("dataplane", 100, "repairs_total 7")
			}
			w := v.begin(pack("dataplane", "1.1.0", tt.next...), pack("dataplane", "1.0.0", tt.old...))
			want(t, w, "calls failed 0", "table repairs 0", "crashes 0")
			v.process("dataplane", 200, tt.lines...)
			want(t, w, "calls failed 0", tt.want, "crashes 0")
		})
	}
}

func TestMissing(t *testing.T) {
	v := newVillage(t)
	v.process("rib", 100)
	v.process("dataplane", 100, lost(0))
	w := v.begin(nil, pack("rib", "1.0.0"), pack("dataplane", "1.0.0", packetsLost))
	v.stop("dataplane")
	began := time.Now()
	want(t, w, "calls failed missing: dataplane gives no counters: …", "packets lost missing: dataplane gives no counters: …", "crashes 0")
	if took := time.Since(began); took < readLimit || took > 3*readLimit {
		t.Errorf("a reading without an answer took %v, want %v", took, readLimit)
	}
	v.process("dataplane", 200, lost(0))
	want(t, w, "calls failed 0", "packets lost 0", "crashes 0")
	v.process("rib", 100, "this is no metric")
	want(t, w, "calls failed missing: rib gives no counters: its metrics cannot be read: …", "packets lost 0", "crashes 0")
	v.process("rib", 100)
	v.mu.Lock()
	v.ids["rib"] = ""
	v.mu.Unlock()
	want(t, w, "calls failed missing: rib gives no counters: its metrics are answered without Ashlar-Process, …", "packets lost 0", "crashes 0")
	v.process("rib", 100)
	v.mu.Lock()
	v.mute = true
	v.mu.Unlock()
	want(t, w, "calls failed 0", "packets lost 0", "crashes missing: the supervisor does not answer: nobody is there")
}

func TestBeginWithoutAFirstReading(t *testing.T) {
	v := newVillage(t)
	v.process("rib", 100)
	v.stop("rib")
	_, err := New(v.layout, v).Begin(t.Context(), []*store.Package{pack("rib", "1.0.0")}, nil)
	if err == nil || !strings.Contains(err.Error(), "no first reading of rib") {
		t.Errorf("begin: %v", err)
	}
	v.mute = true
	if _, err = New(v.layout, v).Begin(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "supervisor does not say") {
		t.Errorf("begin: %v", err)
	}
}

func TestAddedAndRemovedComponents(t *testing.T) {
	v := newVillage(t)
	v.process("rib", 100)
	w := v.begin(pack("bgp", "1.0.0"), pack("rib", "1.0.0"))
	want(t, w, "calls failed missing: bgp gives no counters: …", "crashes 0")
	v.process("bgp", 200, failed("Unavailable", 2))
	want(t, w, "calls failed 2", "crashes 0")

	w = v.begin(nil, pack("rib", "1.0.0"), pack("bgp", "1.0.0"))
	v.stop("bgp")
	v.mu.Lock()
	delete(v.crashes, "bgp")
	v.mu.Unlock()
	want(t, w, "calls failed 0", "crashes 0")
}

func TestCrashes(t *testing.T) {
	v := newVillage(t)
	v.process("rib", 100)
	v.process(supervisorName, 100)
	v.crashes["rib"] = 3
	w := v.begin(nil, pack("rib", "1.0.0"), pack(supervisorName, "1.0.0"))
	want(t, w, "calls failed 0", "crashes 0")
	v.crashes["rib"] = 4
	want(t, w, "calls failed 0", "crashes 1")
	v.crashes["rib"] = 2 // another supervisor, that has counted two since
	want(t, w, "calls failed 0", "crashes 2")
}

// A component that hangs costs its own reading and no more time than the limit.
func TestHangingComponent(t *testing.T) {
	v := newVillage(t)
	v.process("rib", 100)
	w := v.begin(pack("bgp", "1.0.0"), pack("rib", "1.0.0"))
	l, err := net.Listen("unix", filepath.Join(v.layout.RunDir(), "bgp.metrics.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	want(t, w, "calls failed missing: bgp gives no counters: …", "crashes 0")
	if took := time.Since(began); took > 3*readLimit {
		t.Errorf("took %v", took)
	}
}
