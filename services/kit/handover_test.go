// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

// idle does nothing and is ready.
type idle struct{}

func (idle) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (idle) Probe(context.Context) error { return nil }

func construct(s kit.Service) kit.Constructor {
	return func(context.Context, *kit.Runtime) (kit.Service, error) { return s, nil }
}

// traffic calls a component in a tight loop, without retries and without waiting for readiness, until it is ended.
type traffic struct {
	t       *testing.T
	d       *kittest.Device
	stop    chan struct{}
	running sync.WaitGroup
	calls   atomic.Int64
}

func startTraffic(t *testing.T, d *kittest.Device) *traffic {
	tr := &traffic{t: t, d: d, stop: make(chan struct{})}
	for i := range 4 {
		tr.running.Go(func() { tr.client(i%2 == 0) })
	}
	return tr
}

// client calls on one connection, or on a new one every few calls.
func (tr *traffic) client(keep bool) {
	conn := tr.d.Conn()
	defer func() { conn.Close() }()
	for n := 1; ; n++ {
		select {
		case <-tr.stop:
			return
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, err := lifecyclev1.NewLifecycleClient(conn).Describe(ctx, &lifecyclev1.DescribeRequest{})
		cancel()
		if err != nil {
			tr.t.Errorf("call %d (one connection: %t): %v", n, keep, err)
			return
		}
		tr.calls.Add(1)
		if !keep && n%3 == 0 {
			conn.Close()
			conn = tr.d.Conn()
		}
	}
}

// end waits for the clients and returns how many calls succeeded.
func (tr *traffic) end() int64 {
	close(tr.stop)
	tr.running.Wait()
	return tr.calls.Load()
}

func TestTakeOverUnderTraffic(t *testing.T) {
	d := kittest.Start(t, manifestYAML, construct(idle{}))
	tr := startTraffic(t, d)
	for range 50 {
		d.TakeOver(d.Stage(construct(idle{})))
	}
	if n := tr.end(); n < 50 {
		t.Errorf("only %d calls were made", n)
	}
}

func TestRestartUnderTraffic(t *testing.T) {
	d := kittest.Start(t, manifestYAML, construct(idle{}))
	tr := startTraffic(t, d)
	for range 50 {
		next := d.Stage(construct(idle{}))
		d.Running().Drain()
		d.Running().Wait()
		d.Use(next)
	}
	tr.end()
}

func TestFreezeAndUnfreezeUnderTraffic(t *testing.T) {
	d := kittest.Start(t, manifestYAML, construct(idle{}))
	tr := startTraffic(t, d)
	for range 50 {
		if err := d.Running().Freeze(); err != nil {
			t.Fatal(err)
		}
		before := tr.calls.Load()
		d.Running().Unfreeze()
		kittest.Eventually(t, func() error {
			if tr.calls.Load() == before {
				return errors.New("no call succeeds after the freeze")
			}
			return nil
		})
	}
	tr.end()
}

func TestCandidateIsNotCalled(t *testing.T) {
	d := kittest.Start(t, manifestYAML, construct(idle{}))
	d.Stage(construct(idle{}))
	for range 20 {
		conn := d.Conn()
		got, err := lifecyclev1.NewLifecycleClient(conn).Describe(deadline(t), &lifecyclev1.DescribeRequest{})
		conn.Close()
		if err != nil || got.GetFencingToken() == 0 {
			t.Fatalf("got %v, %v, want the active process", got, err)
		}
	}
}

// stuck has a call that does not end, and counts what it is asked.
type stuck struct {
	idle
	entered, leave  chan struct{}
	freezes, thawed atomic.Int32
	refuse          error
}

func (s *stuck) Freeze(context.Context) error {
	s.freezes.Add(1)
	return s.refuse
}

func (s *stuck) Unfreeze() { s.thawed.Add(1) }

func (s *stuck) Probe(ctx context.Context) error {
	if s.entered == nil {
		return nil
	}
	s.entered <- struct{}{}
	<-s.leave
	return nil
}

func TestFreezeGivesUpAtItsLimit(t *testing.T) {
	s := &stuck{entered: make(chan struct{}), leave: make(chan struct{})}
	d := kittest.Start(t, manifestYAML, construct(s))
	answered := make(chan error, 1)
	conn := d.Dial()
	go func() {
		_, err := lifecyclev1.NewLifecycleClient(conn).Health(deadline(t), &lifecyclev1.HealthRequest{})
		answered <- err
	}()
	<-s.entered
	if err := d.Running().Freeze(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v, want DEADLINE_EXCEEDED", err)
	}
	if _, err := lifecyclev1.NewLifecycleClient(d.Dial()).Describe(deadline(t), &lifecyclev1.DescribeRequest{}); err != nil {
		t.Errorf("the component is not as before: %v", err)
	}
	close(s.leave)
	if err := <-answered; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if s.freezes.Load() != 0 || s.thawed.Load() != 0 {
		t.Error("the service was asked although its calls had not ended")
	}
}

func TestFreezeThatTheServiceRefuses(t *testing.T) {
	s := &stuck{refuse: status.Error(codes.ResourceExhausted, "not now")}
	d := kittest.Start(t, manifestYAML, construct(s))
	if err := d.Running().Freeze(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want the service's error", err)
	}
	if _, err := lifecyclev1.NewLifecycleClient(d.Dial()).Describe(deadline(t), &lifecyclev1.DescribeRequest{}); err != nil {
		t.Errorf("the component is not as before: %v", err)
	}
	if s.thawed.Load() != 0 {
		t.Error("a freeze that failed was taken back")
	}
}

func TestFreezingTwiceAndUnfreezingWithoutFreezeChangeNothing(t *testing.T) {
	s := &stuck{}
	d := kittest.Start(t, manifestYAML, construct(s))
	d.Running().Unfreeze()
	for range 2 {
		if err := d.Running().Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		d.Running().Unfreeze()
	}
	if f, u := s.freezes.Load(), s.thawed.Load(); f != 1 || u != 1 {
		t.Errorf("the service was frozen %d times and unfrozen %d times, want once each", f, u)
	}
}

func TestCandidateCannotFreeze(t *testing.T) {
	d := kittest.New(t, manifestYAML, construct(idle{}))
	if err := d.Stage(construct(idle{})).Freeze(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("got %v, want FAILED_PRECONDITION", err)
	}
}

// heir has something to hand over.
type heir struct {
	idle
	mu   sync.Mutex
	held map[string][]byte
}

func (h *heir) Export(_ context.Context, send func(string, []byte) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for section, data := range h.held {
		if err := send(section, data); err != nil {
			return err
		}
	}
	return nil
}

func (h *heir) Import(_ context.Context, recv func() (string, []byte, error)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = map[string][]byte{}
	for {
		section, data, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		h.held[section] = data
	}
}

func (h *heir) Rehearse(context.Context) (kit.Rehearsal, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := kit.NewOutput("sections")
	for section := range h.held {
		o.Add(section)
	}
	return kit.Rehearsal{Synced: true, Outputs: []*kit.Output{o}}, nil
}

func TestExportReachesTheSuccessor(t *testing.T) {
	old := &heir{held: map[string][]byte{"a": []byte("1"), "b": bytes.Repeat([]byte("x"), 1<<20)}}
	d := kittest.Start(t, manifestYAML, construct(old))
	if _, err := d.Running().Export(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("an export without a freeze: got %v, want FAILED_PRECONDITION", err)
	}
	if err := d.Running().Freeze(); err != nil {
		t.Fatal(err)
	}
	parts, err := d.Running().Export()
	if err != nil {
		t.Fatal(err)
	}
	if p := parts[0]; p.GetComponent() != "banner" || p.GetVersion() != "1.0.0" || len(parts) != 3 {
		t.Errorf("%d parts, the first of %v", len(parts), p)
	}
	young := &heir{}
	next := d.Stage(construct(young))
	if err := next.Import(parts); err != nil {
		t.Fatal(err)
	}
	got, want := next.Rehearse(), d.Running().Rehearse()
	if !got.GetSynced() || !bytes.Equal(got.GetOutputs()[0].GetDigest(), want.GetOutputs()[0].GetDigest()) {
		t.Errorf("the successor would write %v, the old one writes %v", got, want)
	}
	next.Activate()
	if err := next.Import(parts); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("an import after the token: got %v, want FAILED_PRECONDITION", err)
	}
}

func TestImportRefusesWhatItDoesNotKnow(t *testing.T) {
	d := kittest.New(t, manifestYAML, construct(idle{}))
	p := d.Stage(construct(idle{}))
	for desc, parts := range map[string][]*lifecyclev1.Part{
		"nothing":             nil,
		"another component's": {{Component: "rib"}},
		"a later epoch":       {{Component: "banner", Epoch: 7}},
		"an unknown section":  {{Component: "banner"}, {Section: "routes"}},
	} {
		if err := p.Import(parts); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: got %v, want INVALID_ARGUMENT", desc, err)
		}
	}
	if err := p.Import([]*lifecyclev1.Part{{Component: "banner"}}); err != nil {
		t.Errorf("an export of nothing: %v", err)
	}
}

func TestDrainCutsStreams(t *testing.T) {
	d := kittest.Start(t, manifestYAML, construct(idle{}))
	stream, err := healthv1.NewHealthClient(d.Dial()).Watch(deadline(t), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := d.Running().Freeze(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d.Running().Drain()
	d.Running().Wait()
	if took := time.Since(began); took > 250*time.Millisecond {
		t.Errorf("the drain took %v", took)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v, want UNAVAILABLE", err)
	}
}
