// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/storetest"
)

// shelf is packages that all tests of the process share: they are only read.
type shelf struct {
	store *store.Store
	// by component=version.
	digest map[string]string
}

var shared struct {
	once  sync.Once
	shelf *shelf
	dir   string
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(shared.dir)
	os.Exit(code)
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	shared.once.Do(func() { shared.shelf = makeShelf(t) })
	if shared.shelf == nil {
		t.Fatal("there are no packages")
	}
	return shared.shelf
}

func makeShelf(t *testing.T) *shelf {
	t.Helper()
	w := storetest.New(t)
	var err error
	if shared.dir, err = os.MkdirTemp("", "shelf"); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, component := range []string{"pkgmgr", "supervisor", "rib", "dataplane", "extra"} {
		handover := map[string]string{"pkgmgr": "restart", "supervisor": "reexec", "dataplane": "restart"}[component]
		if handover == "" {
			handover = "takeover"
		}
		for _, version := range []string{"1.0.0", "1.1.0"} {
			provides := "provides: [{contract: ashlar." + component + ".v1, level: 1}]"
			if component == "rib" {
				provides += "\nrequires: [{contract: ashlar.dataplane.v1, levels: {min: 1}}]"
			}
			files = append(files, w.Package(storetest.Manifest(component, version, handover, provides), version, nil))
		}
	}
	s := &shelf{store: w.Store(shared.dir, files...), digest: map[string]string{}}
	for _, p := range s.store.Packages() {
		s.digest[p.Component+"="+p.Version] = p.Digest
	}
	return s
}

// old is the set that every test begins with.
func (s *shelf) old() map[string]string {
	return map[string]string{
		"pkgmgr": s.digest["pkgmgr=1.0.0"], "supervisor": s.digest["supervisor=1.0.0"],
		"rib": s.digest["rib=1.0.0"], "dataplane": s.digest["dataplane=1.0.0"],
	}
}

// with is the old set with other members.
func (s *shelf) with(members ...string) map[string]string {
	out := s.old()
	for _, m := range members {
		component, _, _ := strings.Cut(m, "=")
		out[component] = s.digest[m]
	}
	return out
}

// judge allows all but what a test forbids.
type judge struct {
	mu     sync.Mutex
	forbid func(plan.Set) string
}

func (j *judge) Judge(sets []plan.Set) plan.Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := plan.Verdict{Judged: len(sets)}
	for _, s := range sets {
		if j.forbid == nil {
			continue
		}
		if why := j.forbid(s); why != "" {
			v.Reasons = append(v.Reasons, &pkgv1.Reason{Kind: "evidence-missing", Text: why, Edge: &pkgv1.Edge{Consumer: "rib"}})
		}
	}
	return v
}

// gates read what a test says.
type gates struct {
	mu      sync.Mutex
	reading []engine.Reading
}

func (g *gates) set(r ...engine.Reading) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reading = r
}

func (g *gates) Begin(context.Context, []*store.Package, *store.Package) (engine.Watch, error) {
	return g, nil
}

func (g *gates) Read(context.Context) []engine.Reading {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reading
}

func (g *gates) Close() {}

// clock is moved by tests.
type clock struct {
	mu    sync.Mutex
	since time.Duration
	boot  string
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since += d
}

func (c *clock) sinceBoot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

// bench is a device: what outlives a process of the package manager, and the one that runs.
type bench struct {
	t      *testing.T
	shelf  *shelf
	dir    string
	model  *model
	judge  *judge
	gates  *gates
	clock  *clock
	engine *engine.Engine
	// crash ends the process at the nth point of the journal from now; 0 never.
	crash   int
	points  int
	crashed chan struct{}
	cancel  context.CancelFunc
	done    chan struct{}
}

func newBench(t *testing.T, s *shelf) *bench {
	t.Helper()
	b := &bench{t: t, shelf: s, dir: t.TempDir(), judge: &judge{}, gates: &gates{}, clock: &clock{boot: "first", since: time.Hour}}
	b.model = newModel(s.store, s.old())
	g, err := generations.Open(b.dir)
	b.must(err)
	b.must(g.Make(generations.Generation{ID: 1, Members: s.old()}, s.store.Tree))
	b.must(g.Commit(1))
	t.Cleanup(b.stop)
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// start begins a process. It is ended at the nth point of the journal.
func (b *bench) start(crash int) {
	b.t.Helper()
	b.crash, b.points, b.crashed, b.done = crash, 0, make(chan struct{}), make(chan struct{})
	g, err := generations.Open(b.dir)
	b.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.model.mu.Lock()
	b.model.replaced = cancel
	b.model.mu.Unlock()
	logs := io.Discard
	if testing.Verbose() && os.Getenv("ENGINE_LOG") != "" {
		logs = os.Stderr
	}
	opened := make(chan struct{})
	done, crashed := b.done, b.crashed
	go func() {
		defer close(done)
		e, err := engine.Open(engine.Config{
			Dir: b.dir, Store: b.shelf.store, Generations: g, Supervisor: b.model, Judge: b.judge, Gates: b.gates,
			Clock: engine.Clock{Now: time.Now, SinceBoot: b.clock.sinceBoot, Boot: b.clock.boot},
			Log:   slog.New(slog.NewTextHandler(logs, nil)),
			Hook:  func(engine.Point, engine.Record) { b.hook(cancel, crashed) },
		})
		if err != nil {
			b.t.Error(err)
		}
		b.engine = e
		close(opened)
		if err == nil {
			e.Run(ctx)
		}
	}()
	select {
	case <-opened:
	case <-done:
	}
}

// hook ends the goroutine that writes the journal, as a kill would: nothing that it had still to do is done.
func (b *bench) hook(cancel context.CancelFunc, crashed chan struct{}) {
	if b.crash == 0 {
		return
	}
	if b.points++; b.points >= b.crash {
		if b.points == b.crash {
			close(crashed)
			cancel()
		}
		runtime.Goexit()
	}
}

func (b *bench) stop() {
	if b.cancel != nil {
		b.cancel()
		<-b.done
	}
}

// request runs f as a call would: a crash ends it.
func (b *bench) request(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// upgrade proposes and applies, and returns how the operation ended; nil when the process did before.
func (b *bench) upgrade(opts engine.Options, changes ...string) *engine.Operation {
	b.t.Helper()
	var o *engine.Operation
	b.request(func() {
		id, err := b.begin(opts, changes...)
		if err != nil {
			if b.crash == 0 {
				b.t.Error(err)
			}
			return
		}
		o, _ = b.engine.Await(context.Background(), id)
	})
	return o
}

func (b *bench) begin(opts engine.Options, changes ...string) (uint64, error) {
	if opts.Soak == 0 {
		opts.Soak = time.Millisecond
	}
	if _, err := b.engine.Propose(parse(changes), false, false); err != nil {
		return 0, err
	}
	return b.engine.Apply(opts)
}

func parse(changes []string) []plan.Change {
	var list []plan.Change
	for _, c := range changes {
		component, version, _ := strings.Cut(c, "=")
		list = append(list, plan.Change{Component: component, Version: version, Remove: version == "none"})
		if version == "none" {
			list[len(list)-1].Version = ""
		}
	}
	return list
}

// settled waits until no operation is under way, and returns the newest.
func (b *bench) settled() *engine.Operation {
	b.t.Helper()
	id := b.engine.Current()
	if id == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	o, err := b.engine.Await(ctx, id)
	if err != nil {
		b.t.Fatalf("operation %d does not end: %v", id, err)
	}
	return o
}

func (b *bench) state() *engine.State {
	s, _, _ := b.engine.Snapshot()
	return s
}

// runs checks that the set runs, and that the engine says so.
func (b *bench) runs(want map[string]string) {
	b.t.Helper()
	if got := b.model.set(); !maps.Equal(got, want) {
		b.t.Errorf("%v runs, want %v", b.names(got), b.names(want))
	}
	if got := b.state().Running; !maps.Equal(got, want) {
		b.t.Errorf("the journal says that %v runs, want %v", b.names(got), b.names(want))
	}
}

func (b *bench) names(set map[string]string) map[string]string {
	out := map[string]string{}
	for c, d := range set {
		out[c] = b.model.version(d)
	}
	return out
}

func (b *bench) committed() uint64 {
	b.t.Helper()
	g, err := generations.Open(b.dir)
	b.must(err)
	one, _ := g.Committed()
	return one.ID
}
