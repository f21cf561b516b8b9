// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"sync"
	"time"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

const (
	// neighborDelay gathers the many events of a busy neighbour table.
	neighborDelay = 100 * time.Millisecond
	// A problem is tried again after firstRetry, then after twice as long each time, up to lastRetry.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
	// Each interface is looked at once in sweepPeriod although nothing was heard, since not every change is
	// told (a route that was put in the place of another). With many interfaces it takes longer: two looks
	// are sweepPace apart.
	sweepPeriod = 3 * time.Second
	sweepPace   = 10 * time.Millisecond
)

// Hear takes the kernel's events. It does not block.
func (r *Reconciler) Hear(events []kernel.Event) {
	now := time.Now()
	for _, e := range events {
		switch e.Subject {
		case kernel.Everything:
			r.metrics.overflows.Inc()
			r.agenda.markAll(now)
		case kernel.LinkChanged:
			if e.Gone {
				r.names.forget(e.Index)
			} else if old, renamed := r.names.learn(e.Index, e.Name); renamed {
				r.agenda.mark(old, now)
			}
			r.agenda.mark(e.Name, now)
		case kernel.NeighborChanged:
			if name, ok := r.names.of(e.Index); ok {
				r.agenda.mark(name, now.Add(neighborDelay))
			}
		default:
			if name, ok := r.names.of(e.Index); ok {
				r.agenda.mark(name, now)
			}
		}
	}
}

// Run repairs what events, or a problem's next try, point at, until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	sweeping.Go(func() { r.sweep(ctx) })
	for {
		names, all, ok := r.agenda.wait(ctx)
		if !ok {
			return
		}
		r.attend(names, all)
	}
}

// sweep asks for a look at one configured interface after the other, round and round, until ctx ends.
func (r *Reconciler) sweep(ctx context.Context) {
	pause := time.NewTimer(r.period)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		name, of := r.next()
		if of > 0 {
			r.agenda.mark(name, time.Now())
		}
		pause.Reset(max(sweepPace, r.period/time.Duration(max(1, of))))
	}
}

// next is the configured interface whose turn it is, of how many.
func (r *Reconciler) next() (name string, of int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := ""
	for n := range r.wanted {
		if first == "" || n < first {
			first = n
		}
		if n > r.swept && (name == "" || n < name) {
			name = n
		}
	}
	if name == "" {
		name = first
	}
	r.swept = name
	return name, len(r.wanted)
}

func (r *Reconciler) attend(names []string, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.restored {
		return
	}
	if all {
		names = r.found.Names()
		for name := range r.wanted {
			names = append(names, name)
		}
	}
	for _, name := range unique(names) {
		_, wanted := r.wanted[name]
		if _, recorded := r.found.Get(name); wanted || recorded {
			r.repair(name)
		}
	}
}

func (r *Reconciler) repair(name string) {
	old := r.views[name]
	for _, j := range r.pursue([]string{name}) {
		// The first steps on a link that just appeared are no repair, nor are those that a retry takes.
		foreign := old != nil && old.Present && j.there && old.State.Link.Index == j.state.Link.Index && old.Problem == nil
		if foreign && len(j.taken) > 0 {
			r.report(j)
		}
		r.conclude(j)
	}
}

func (r *Reconciler) report(j *job) {
	var done []string
	for _, s := range j.taken {
		done = append(done, s.text)
		r.metrics.repairs.WithLabelValues(j.name, s.subject).Inc()
	}
	r.log.Warn("somebody else changed a configured interface; it was repaired", "interface", j.name, "steps", done)
	r.agenda.hold(j.name, time.Now())
}

// retry plans the next try for an interface with a problem.
func (r *Reconciler) retry(j *job) {
	if j.err == nil {
		delete(r.retries, j.name)
		return
	}
	r.metrics.failures.WithLabelValues(j.name).Inc()
	r.retries[j.name] = min(lastRetry, max(firstRetry, 2*r.retries[j.name]))
	r.log.Warn("an interface is not as configured", "interface", j.name, "error", j.err, "next_try", r.retries[j.name].String())
	r.agenda.mark(j.name, time.Now().Add(r.retries[j.name]))
}
