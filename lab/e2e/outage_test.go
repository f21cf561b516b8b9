// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/process"
	"github.com/ashlar-nos/ashlar/lab/stream"
	"github.com/ashlar-nos/ashlar/lab/topology"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"golang.org/x/sys/unix"
)

// flows is how many flows each family has in these tests.
const flows = 64

// streaming sends both families through the device until the returned function is called, which fails the
// test unless every packet arrived once and in order.
func (r *rig) streaming(t *testing.T) (end func()) {
	t.Helper()
	r.answers(t, everywhere...)
	router, err := r.Topology.HardwareAddress(topology.LinkA.Port)
	if err != nil {
		t.Fatal(err)
	}
	meter, err := stream.NewMeter(r.Topology.HostB, topology.LinkB1.HostInterface, topology.LinkB2.HostInterface)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { meter.Close() })
	generator, err := stream.NewGenerator(stream.Config{
		Host: r.Topology.HostA, Interface: topology.LinkA.HostInterface, NextHop: router,
		V4: stream.Spread(topology.LinkA.Host4.Addr(), topology.Balanced4, flows),
		V6: stream.Spread(topology.LinkA.Host6.Addr(), topology.Balanced6, flows),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { generator.Close() })
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	done := make(chan error, 1)
	go func() { done <- generator.Run(ctx, stream.Rate{V4: 60_000, V6: 60_000}) }()
	return func() {
		t.Helper()
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		sent, err := generator.Sent()
		if err != nil {
			t.Fatal(err)
		}
		within, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		totals, err := meter.Settle(within, sent)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d packets sent, longest silence of a flow %v", totals.Sent, totals.LongestSilence)
		if err := totals.Clean(); err != nil {
			t.Error(err)
		}
	}
}

// readyLimit is how long a killed component may take until it is ready, hungLimit one that hangs.
const (
	readyLimit = 5 * time.Second
	hungLimit  = 10 * time.Second
)

func TestKillsUnderTraffic(t *testing.T) {
	r := configured(t)
	end := r.streaming(t)
	a := r.automate(t, intent.Description("ge0"), intent.Description("ge1"))
	for range 3 {
		for _, name := range r.Device.Components() {
			took, err := r.Device.Kill(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if took > readyLimit {
				t.Errorf("%s was ready %v after it was killed", name, took)
			}
			a.made(t, 1)
		}
	}
	a.end(t)
	end()
}

// A component that stops answering is found out, killed and replaced.
func TestHungComponentsUnderTraffic(t *testing.T) {
	r := configured(t)
	end := r.streaming(t)
	for _, name := range r.Device.Components() {
		before := r.pids(t)[name]
		victim, err := process.Identify(int(before))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := victim.Signal(unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		until(t, name, func(context.Context) error {
			now := r.Device.Status(name)
			if now.GetPid() == before || now.GetPhase() != supervisorv1.Phase_PHASE_READY {
				return fmt.Errorf("pid %d is %s", now.GetPid(), now.GetPhase())
			}
			return nil
		})
		took := time.Since(begin)
		t.Logf("%s was ready %v after it hung", name, took.Round(time.Millisecond))
		if took > hungLimit {
			t.Errorf("%s was ready %v after it hung", name, took)
		}
		if cause := r.Device.Status(name).GetLastCause(); cause != supervisorv1.Cause_CAUSE_LIVENESS {
			t.Errorf("%s: the supervisor's cause is %s", name, cause)
		}
	}
	end()
	r.answers(t, everywhere...)
}
