// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/found"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/history"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

// rounds bounds how often an interface is read and planned anew in one go. Two do when nobody interferes;
// a link that was set down or up, or a primary address that took its secondaries along, takes one more.
const rounds = 6

const (
	// usable bounds the wait for addresses to come into effect; usablePause is between two looks.
	usable      = time.Second
	usablePause = 200 * time.Microsecond
)

var errRestless = errors.New("it does not settle: something else keeps changing it")

// job is one interface being settled.
type job struct {
	name  string
	state kernel.State
	there bool
	// taken are the steps that were run.
	taken []step
	// failed is the step that failed in the last round.
	failed string
	// stalled: the rest of this round's steps is left out.
	stalled bool
	err     error
	done    bool
}

// settle brings the named interfaces about, all together, and tells their views. It returns what failed.
func (r *Reconciler) settle(names []string) map[string]error {
	failures := map[string]error{}
	for _, j := range r.pursue(names) {
		r.conclude(j)
		if j.err != nil {
			failures[j.name] = j.err
		}
	}
	return failures
}

// pursue reads, plans and runs until nothing is left to do.
func (r *Reconciler) pursue(names []string) []*job {
	jobs := make([]*job, 0, len(names))
	for _, n := range names {
		jobs = append(jobs, &job{name: n})
	}
	for range rounds {
		open := slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.done })
		if len(open) == 0 {
			r.awaitAddresses(jobs)
			return jobs
		}
		r.round(open)
	}
	for _, j := range jobs {
		if !j.done {
			j.err = errRestless
		}
	}
	return jobs
}

// awaitAddresses waits until what was added is in effect: the kernel's own worker makes an IPv6 address
// usable shortly after it is there. One that is not in time goes on to be tried as a problem.
func (r *Reconciler) awaitAddresses(jobs []*job) {
	deadline := time.Now().Add(usable)
	for _, j := range jobs {
		for _, s := range j.taken {
			if !s.address.IsValid() || j.err != nil || !j.there || !j.state.Link.Up {
				continue
			}
			for !r.kernel.Taken(j.state.Link.Index, s.address) {
				if time.Now().After(deadline) {
					j.err = intent.Refuse(s.path, codes.Unavailable, "the kernel does not take packets for %s", s.address)
					break
				}
				time.Sleep(usablePause)
			}
		}
	}
}

func (r *Reconciler) round(jobs []*job) {
	for _, j := range jobs {
		j.stalled = false
		j.state, j.there, j.err = r.kernel.Read(j.name)
		if j.there {
			r.names.learn(j.state.Link.Index, j.name)
		}
	}
	if err := r.record(jobs); err != nil {
		for _, j := range jobs {
			j.err, j.done = err, true
		}
		return
	}
	type task struct {
		*job
		step
	}
	var tasks []task
	for _, j := range jobs {
		steps := r.steps(j)
		j.done = len(steps) == 0
		for _, s := range steps {
			tasks = append(tasks, task{j, s})
		}
	}
	slices.SortStableFunc(tasks, func(a, b task) int { return cmp.Compare(a.phase, b.phase) })
	for _, t := range tasks {
		if !t.done && !t.stalled {
			r.take(t.job, t.step)
		}
	}
}

func (r *Reconciler) steps(j *job) []step {
	if j.err != nil || !j.there {
		return nil
	}
	record, known := r.recordOf(j)
	if i, ok := r.wanted[j.name]; ok {
		return plan(configured(i, record), j.state)
	}
	return plan(released(j.name, record, known), j.state)
}

// take runs a step. One failure may come of a reading that the kernel had overtaken; only when the next
// reading leads to the same failure is it final.
func (r *Reconciler) take(j *job, s step) {
	err := s.run(r.kernel, j.state.Link)
	switch {
	case err == nil:
		j.taken = append(j.taken, s)
	case overtaken(s.phase, err):
	case j.failed == s.text:
		j.err, j.done = refusalOf(s, err), true
	default:
		j.failed, j.stalled = s.text, true
	}
}

// recordOf returns what the job's link was like when it was found.
func (r *Reconciler) recordOf(j *job) (found.Record, bool) {
	record, ok := r.found.Get(j.name)
	if !ok || !record.Describes(r.kernel.Identity(), j.state.Link) {
		return found.Record{}, false
	}
	return record, true
}

// record makes the records of links that are about to be configured for the first time.
func (r *Reconciler) record(jobs []*job) error {
	set := map[string]found.Record{}
	for _, j := range jobs {
		if _, wanted := r.wanted[j.name]; !wanted || !j.there {
			continue
		}
		if _, known := r.recordOf(j); !known {
			set[j.name] = found.Of(r.kernel.Identity(), j.state)
		}
	}
	if len(set) == 0 {
		return nil
	}
	return r.found.Update(set, nil)
}

// conclude tells what became of an interface.
func (r *Reconciler) conclude(j *job) {
	i, wanted := r.wanted[j.name]
	if !wanted {
		r.forget(j)
		return
	}
	v := &View{Intent: i, Present: j.there, State: j.state, Problem: j.err}
	v.LastChange = r.history.Since(j.name, r.operation(v), time.Now())
	r.views[j.name] = v
	r.retry(j)
	r.tell(j.name, v)
}

func (r *Reconciler) operation(v *View) history.Operation {
	if !v.Present {
		return history.Operation{}
	}
	l := v.State.Link
	return history.Operation{Identity: r.kernel.Identity(), Index: l.Index, Up: l.Up, Carrier: l.Carrier, Changes: l.CarrierChanges}
}

// forget ends the care for an interface that is no longer wanted, once it is as it was found.
func (r *Reconciler) forget(j *job) {
	if r.views[j.name] != nil {
		delete(r.views, j.name)
		r.history.Forget(j.name)
		r.tell(j.name, nil)
	}
	r.retry(j)
	if _, ok := r.found.Get(j.name); !ok || j.err != nil {
		return
	}
	if err := r.found.Update(nil, []string{j.name}); err != nil {
		r.log.Warn("a record of a released interface stays behind", "interface", j.name, "error", err)
	}
}
