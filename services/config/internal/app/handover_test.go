// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// impatient is a client that neither retries nor waits: whatever fails, it sees.
func (d *device) impatient() pb.GNMIClient {
	d.t.Helper()
	conn, err := grpc.NewClient("unix://"+d.layout.Socket("gnmi.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig())
	check(d.t, err)
	d.t.Cleanup(func() { conn.Close() })
	return pb.NewGNMIClient(conn)
}

// traffic are clients that set and get without retries, each its own interface.
type traffic struct {
	d            *device
	wait         sync.WaitGroup
	stop         chan struct{}
	acknowledged [3]atomic.Int64
	calls        atomic.Int64
	longest      atomic.Int64
}

func (d *device) traffic() *traffic {
	d.t.Helper()
	tr := &traffic{d: d, stop: make(chan struct{})}
	for c := range tr.acknowledged {
		tr.wait.Go(func() { tr.client(c) })
	}
	d.t.Cleanup(tr.end)
	return tr
}

func (tr *traffic) end() {
	select {
	case <-tr.stop:
	default:
		close(tr.stop)
	}
	tr.wait.Wait()
}

func (tr *traffic) client(c int) {
	client := tr.d.impatient()
	path := fmt.Sprintf("/interfaces/interface[name=ge%d]/config/mtu", c)
	for mtu := 1000; mtu < 9000; mtu++ {
		select {
		case <-tr.stop:
			return
		default:
		}
		began := time.Now()
		if err := tr.d.set(client, path, strconv.Itoa(mtu)); err != nil {
			tr.d.t.Errorf("Set %s=%d: %v", path, mtu, err)
			return
		}
		tr.acknowledged[c].Store(int64(mtu))
		if got, err := tr.d.get(client, path); err != nil || got != strconv.Itoa(mtu) {
			tr.d.t.Errorf("Get %s: %q, %v; want %d", path, got, err, mtu)
			return
		}
		if _, err := tr.d.get(client, ge0+"/state/oper-status"); err != nil {
			tr.d.t.Errorf("Get of state: %v", err)
			return
		}
		tr.calls.Add(3)
		took := int64(time.Since(began))
		for old := tr.longest.Load(); took > old && !tr.longest.CompareAndSwap(old, took); old = tr.longest.Load() {
		}
	}
}

// flows waits until every client has been answered some more times.
func (tr *traffic) flows() {
	tr.d.t.Helper()
	var before [len(tr.acknowledged)]int64
	for c := range before {
		before[c] = tr.acknowledged[c].Load()
	}
	eventually(tr.d.t, "traffic flows", func() error {
		for c := range before {
			if tr.acknowledged[c].Load() < before[c]+5 && !tr.d.t.Failed() {
				return fmt.Errorf("client %d waits", c)
			}
		}
		return nil
	})
}

// subscriber hears of an interface's MTU for as long as its stream lives.
type subscriber struct {
	last  atomic.Int64
	ended chan error
}

func (d *device) subscribe(client pb.GNMIClient, path string) *subscriber {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := client.Subscribe(ctx)
	check(d.t, err)
	check(d.t, stream.Send(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Subscribe{Subscribe: &pb.SubscriptionList{
		Encoding:     pb.Encoding_PROTO,
		Subscription: []*pb.Subscription{{Path: gpath.MustParse(path), Mode: pb.SubscriptionMode_ON_CHANGE}},
	}}}))
	s := &subscriber{ended: make(chan error, 1)}
	done := make(chan struct{})
	d.t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for {
			m, err := stream.Recv()
			if err != nil {
				s.ended <- err
				return
			}
			for _, u := range m.GetUpdate().GetUpdate() {
				s.last.Store(int64(u.GetVal().GetUintVal()))
			}
		}
	}()
	return s
}

// failures are the unary calls that a component made or answered and that failed, by series.
func (d *device) failures(component string) (lines []string) {
	d.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", d.layout.Socket(component+".metrics.sock"))
	}}}
	answer, err := client.Get("http://metrics/metrics")
	check(d.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	check(d.t, err)
	counted := false
	for line := range strings.Lines(string(text)) {
		if !failure.MatchString(line) {
			continue
		}
		counted = true
		if !strings.HasSuffix(line, " 0\n") {
			lines = append(lines, line)
		}
	}
	if !counted {
		d.t.Errorf("%s counts no failures:\n%s", component, text)
	}
	return lines
}

var failure = regexp.MustCompile(`^(grpc_client|ashlar_gnmi_grpc_server)_handled_total{grpc_code="(Unavailable|Internal|Unknown|DataLoss|DeadlineExceeded)".*grpc_type="unary"`)

func (d *device) nothingFailed(components ...string) {
	d.t.Helper()
	for _, c := range components {
		if lines := d.failures(c); len(lines) > 0 {
			d.t.Errorf("calls of %s failed:\n%s", c, strings.Join(lines, ""))
		}
	}
}

// TestTakeover replaces configd under traffic, forth and back. No call fails, each acknowledged Set is there, and who
// subscribed before hears of what the successor decides.
func TestTakeover(t *testing.T) {
	d, ports, _ := furnished(t, "never")
	d.ports.Publish(time.Now(), map[string]any{ge0 + "/state/name": "ge0", ge0 + "/state/oper-status": "UP"})
	client := d.impatient()
	eventually(t, "state", func() error { _, err := d.get(client, ge0+"/state/oper-status"); return err })
	check(t, d.set(client, ge0mtu, "999"))
	subscriber := d.subscribe(client, ge0mtu)
	tr := d.traffic()
	tr.flows()
	for range 3 {
		old, candidate := d.config, d.stageConfig("never")
		eventually(t, "the candidate knows all", func() error {
			if got := d.rehearse(candidate); !got.GetSynced() {
				return errors.New(got.GetMissing())
			}
			return nil
		})
		began := time.Now()
		d.freeze(old)
		frozen := time.Since(began)
		same(t, d, old, candidate)
		began = time.Now()
		d.activate(candidate)
		d.config = candidate
		d.waitReady()
		t.Logf("frozen in %v, the successor was ready %v after its token", frozen.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		d.drain(old, 20*time.Second)
		t.Cleanup(old.kill)
		tr.flows()
	}
	eventually(t, "the subscriber follows", func() error {
		if last, now := subscriber.last.Load(), tr.acknowledged[0].Load(); last < now-20 {
			return fmt.Errorf("it heard of %d, %d was set", last, now)
		}
		return nil
	})
	select {
	case err := <-subscriber.ended:
		t.Errorf("the stream ended: %v", err)
	default:
	}
	tr.end()
	d.nothingFailed("config")
	for c := range tr.acknowledged {
		last := fmt.Sprint(tr.acknowledged[c].Load())
		path := fmt.Sprintf("/interfaces/interface[name=ge%d]", c)
		if got, err := d.get(client, path+"/config/mtu"); err != nil || got != last {
			t.Errorf("client %d: %q, %v; %s was acknowledged last", c, got, err, last)
		}
		want(t, "what ports has", ports.has(path), last)
	}
	t.Logf("%d calls, none failed; the longest round of three took %v", tr.calls.Load(), time.Duration(tr.longest.Load()).Round(time.Millisecond))
}

// same compares what two processes would write.
func same(t *testing.T, d *device, a, b *process) {
	t.Helper()
	one, other := d.rehearse(a).GetOutputs(), d.rehearse(b).GetOutputs()
	if len(one) != 1 || len(other) != 1 || one[0].GetItems() == 0 || one[0].GetItems() != other[0].GetItems() ||
		!slices.Equal(one[0].GetDigest(), other[0].GetDigest()) {
		t.Errorf("the old one would write\n%s\nthe new one\n%s", samples(one[0].GetSample()), samples(other[0].GetSample()))
	}
}

func samples(lines []string) string { return strings.Join(lines, "\n") }

// TestTakeoverFails: the successor dies before it is ready. Who was frozen goes on, under a newer token, and no call
// fails.
func TestTakeoverFails(t *testing.T) {
	d, _, _ := furnished(t, "never")
	d.ports.Publish(time.Now(), map[string]any{ge0 + "/state/name": "ge0", ge0 + "/state/oper-status": "UP"})
	eventually(t, "state", func() error { _, err := d.get(d.impatient(), ge0+"/state/oper-status"); return err })
	tr := d.traffic()
	tr.flows()
	candidate := d.stageConfig("never")
	t.Cleanup(candidate.kill)
	eventually(t, "the candidate answers", func() error {
		if got := d.rehearse(candidate); !got.GetSynced() {
			return errors.New(got.GetMissing())
		}
		return nil
	})
	d.freeze(d.config)
	candidate.kill()
	d.activate(d.config)
	d.unfreeze(d.config)
	d.waitReady()
	tr.flows()
	tr.end()
	d.nothingFailed("config")
	t.Logf("%d calls, none failed", tr.calls.Load())
}

// TestDrainHasALimit: a subscriber that does not end is told to come back when the limit of the drain is near.
func TestDrainHasALimit(t *testing.T) {
	d, _, _ := furnished(t, "never")
	client := d.impatient()
	check(t, d.set(client, ge0mtu, "1400"))
	subscriber := d.subscribe(client, ge0mtu)
	eventually(t, "the subscriber is there", func() error {
		if subscriber.last.Load() != 1400 {
			return io.EOF
		}
		return nil
	})
	d.freeze(d.config)
	began := time.Now()
	d.drain(d.config, time.Second)
	if err := <-subscriber.ended; status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v, want Unavailable", err)
	}
	<-d.config.done
	if took := time.Since(began); took < 500*time.Millisecond || took > 10*time.Second {
		t.Errorf("the drain took %v", took)
	}
}

// TestStateReplacedUnderSets replaces the state store in service under Sets: none fails.
func TestStateReplacedUnderSets(t *testing.T) {
	d, _, _ := furnished(t, "never")
	d.ports.Publish(time.Now(), map[string]any{ge0 + "/state/name": "ge0", ge0 + "/state/oper-status": "UP"})
	eventually(t, "state", func() error { _, err := d.get(d.impatient(), ge0+"/state/oper-status"); return err })
	tr := d.traffic()
	tr.flows()
	for range 5 {
		candidate := d.stage("state", stated)
		began := time.Now()
		d.drain(d.state, 5*time.Second)
		<-d.state.done
		d.activate(candidate)
		d.state = candidate
		t.Logf("the store was closed for %v", time.Since(began).Round(time.Millisecond))
		tr.flows()
	}
	tr.end()
	d.nothingFailed("config")
	t.Logf("%d calls, none failed; the longest round of three took %v", tr.calls.Load(), time.Duration(tr.longest.Load()).Round(time.Millisecond))
}
