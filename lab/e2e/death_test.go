// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/ashlar-nos/ashlar/lab/calls"
	"github.com/ashlar-nos/ashlar/lab/intent"
)

// automation keeps changing a leaf until the test ends, and fails it if a call fails.
type automation struct {
	clients []*calls.Client
	stop    context.CancelFunc
	wait    sync.WaitGroup
}

func (r *rig) automate(t *testing.T, leaves ...string) *automation {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &automation{stop: cancel}
	for _, leaf := range leaves {
		client, err := calls.New("unix://"+r.Socket(), leaf, nil)
		if err != nil {
			t.Fatal(err)
		}
		a.clients = append(a.clients, client)
		a.wait.Go(func() { client.Run(ctx) })
	}
	return a
}

// made waits until every client has made n more calls.
func (a *automation) made(t *testing.T, n int) {
	t.Helper()
	for _, client := range a.clients {
		goal := client.Stats().Made + n
		until(t, "calls", func(context.Context) error {
			if client.Stats().Made < goal {
				return errors.New("they do not go on")
			}
			return nil
		})
	}
}

// end stops the clients and looks at their books.
func (a *automation) end(t *testing.T) {
	t.Helper()
	a.stop()
	a.wait.Wait()
	for _, client := range a.clients {
		stats := client.Stats()
		t.Logf("%d calls, %d failed, %d retried", stats.Made, stats.Failed, stats.Retried)
		if stats.Failed > 0 {
			t.Errorf("%d of %d calls failed: %v", stats.Failed, stats.Made, errors.Join(stats.Errors...))
		}
		client.Close()
	}
}

// Sets are under way at every moment, so that some are between the decision and the effect when everything
// dies. Who called tries again for five seconds; what was acknowledged is there.
func TestEverythingDiesInTheMiddleOfSets(t *testing.T) {
	r := configured(t)
	a := r.automate(t, intent.Description("ge0"), intent.Description("ge1"), intent.Description("ge2"))
	for range 5 {
		a.made(t, 4)
		r.pids(t)
		supervisor, err := r.Supervisor()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Device.KillEverything(t.Context(), supervisor); err != nil {
			t.Fatal(err)
		}
		if err := r.StartSupervisor(); err != nil {
			t.Fatal(err)
		}
		r.pids(t)
	}
	a.made(t, 4)
	a.end(t)
	r.answers(t, everywhere...)
}

// One component after the other dies while Sets are under way.
func TestEachDiesInTheMiddleOfSets(t *testing.T) {
	r := configured(t)
	a := r.automate(t, intent.Description("ge0"), intent.Description("ge1"))
	for range 3 {
		for _, name := range r.Device.Components() {
			a.made(t, 2)
			took, err := r.Device.Kill(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s was ready %v after the kill", name, took)
		}
	}
	a.made(t, 4)
	a.end(t)
	r.answers(t, everywhere...)
}
