// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package ping

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ashlar-nos/ashlar/services/host/internal/resolve"
	"github.com/ashlar-nos/ashlar/services/host/internal/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

func request(destination string, count int) Request {
	return Request{
		Route: resolve.Route{Destination: netip.MustParseAddr(destination)},
		Count: count, Interval: 10 * time.Millisecond, Wait: 5 * time.Second, Size: 56,
	}
}

func run(t *testing.T, r Request) ([]Outcome, Summary) {
	t.Helper()
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var all []Outcome
	summary, err := New().Run(ctx, r, func(o Outcome) error { all = append(all, o); return nil })
	sandbox.Must(t, err)
	slices.SortFunc(all, func(a, b Outcome) int { return a.Sequence - b.Sequence })
	return all, summary
}

// far is a host behind a link, in another namespace.
func far(t *testing.T) *sandbox.Namespace {
	t.Helper()
	n := sandbox.Beside(t)
	sandbox.Connect(t, nil, "ge0", n, "eth0")
	sandbox.Address(t, "ge0", "192.0.2.1/24")
	sandbox.Address(t, "ge0", "2001:db8:a::1/64")
	n.Address("eth0", "192.0.2.10/24")
	n.Address("eth0", "2001:db8:a::10/64")
	return n
}

func TestAnswers(t *testing.T) {
	far(t)
	for _, destination := range []string{"192.0.2.10", "2001:db8:a::10", "127.0.0.1", "::1", "192.0.2.1", "2001:db8:a::1"} {
		for _, size := range []int{1, 56, 8000} {
			r := request(destination, 3)
			r.Size = size
			all, summary := run(t, r)
			if summary.Sent != 3 || summary.Received != 3 || len(all) != 3 {
				t.Errorf("%s, %d bytes: %+v %+v", destination, size, summary, all)
				continue
			}
			for i, o := range all {
				if o.Sequence != i+1 || o.From != destination || o.Bytes != size+8 || o.Error != "" || o.RoundTrip <= 0 {
					t.Errorf("%s: %+v", destination, o)
				}
			}
			if summary.Minimum <= 0 || summary.Minimum > summary.Average || summary.Average > summary.Maximum {
				t.Errorf("%+v", summary)
			}
		}
	}
}

func TestSourceAndLinkLocal(t *testing.T) {
	far(t)
	r := request("192.0.2.10", 1)
	r.Route.Source = netip.MustParseAddr("192.0.2.1")
	if all, summary := run(t, r); summary.Received != 1 {
		t.Errorf("%+v", all)
	}
	r.Route.Source = netip.MustParseAddr("192.0.2.99")
	if _, err := New().Run(context.Background(), r, func(Outcome) error { return nil }); err == nil {
		t.Error("a source that is not the machine's works")
	}
	sandbox.Address(t, "ge0", "fe80::1/64")
	r = request("::1", 1)
	var err error
	r.Route, err = resolve.Find(context.Background(), "fe80::1%ge0", "")
	sandbox.Must(t, err)
	if all, summary := run(t, r); summary.Received != 1 {
		t.Errorf("%+v", all)
	}
}

func TestSilence(t *testing.T) {
	n := far(t)
	n.Sysctl("ipv4/icmp_echo_ignore_all", "1")
	r := request("192.0.2.10", 3)
	r.Wait = 50 * time.Millisecond
	all, summary := run(t, r)
	if summary.Sent != 3 || summary.Received != 0 || len(all) != 3 || summary.Maximum != 0 {
		t.Fatalf("%+v %+v", summary, all)
	}
	for _, o := range all {
		if o.From != "" || o.Error != "" {
			t.Errorf("%+v", o)
		}
	}
}

func TestErrorsInWords(t *testing.T) {
	n := far(t)
	n.Sysctl("ipv4/ip_forward", "1")
	n.Sysctl("ipv6/conf/all/forwarding", "1")
	sandbox.Route(t, "198.51.100.0/24", "192.0.2.10")
	sandbox.Route(t, "2001:db8:b::/64", "2001:db8:a::10")
	for destination, want := range map[string]string{
		"198.51.100.9":  "network unreachable from 192.0.2.10",
		"2001:db8:b::9": "no route to destination from 2001:db8:a::10",
		"203.0.113.9":   "network is unreachable",
		"2001:db8:c::9": "network is unreachable",
	} {
		all, summary := run(t, request(destination, 1))
		if summary.Received != 0 || len(all) != 1 || all[0].Error != want {
			t.Errorf("%s: %+v, want %q", destination, all, want)
		}
	}
}

func TestNobodyOnTheLink(t *testing.T) {
	n := far(t)
	n.Sysctl("ipv4/icmp_echo_ignore_all", "0")
	all, _ := run(t, request("192.0.2.77", 1))
	if len(all) != 1 || !strings.HasPrefix(all[0].Error, "host unreachable from 192.0.2.1") {
		t.Errorf("%+v", all)
	}
}

func TestTwoSessionsDoNotMix(t *testing.T) {
	far(t)
	p := New()
	done := make(chan Summary, 8)
	for range cap(done) {
		go func() {
			s, err := p.Run(context.Background(), request("192.0.2.10", 20), func(Outcome) error { return nil })
			if err != nil {
				t.Error(err)
			}
			done <- s
		}()
	}
	for range cap(done) {
		if s := <-done; s.Received != 20 {
			t.Errorf("%+v", s)
		}
	}
}

func TestEndsWhenAsked(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := New().Run(ctx, request("127.0.0.1", 10_000), func(Outcome) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	broken := errors.New("the reader went away")
	if _, err = New().Run(context.Background(), request("127.0.0.1", 10_000), func(Outcome) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}
