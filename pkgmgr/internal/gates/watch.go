// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

// Watch implements engine.Watch. It is used by one goroutine.
type Watch struct {
	supervisor Supervisor
	rules      []rule
	targets    map[string]*target
	crashes    map[string]uint64
	// removed are components that have left the device since.
	removed map[string]bool
}

// target is a component whose counters are read.
type target struct {
	component, socket string
	names             []string
	// first is the process that ran when the step began; nil if none did.
	first *process
	// processes are those that have answered since, the first among them; last is the one that answered last.
	processes []*process
	last      *process
	// newest is the last sample; err why there is none.
	newest sample
	err    error
}

// process is one process of a component, and how far each rule's counters grew in it.
type process struct {
	id string
	// before are the counters when the step began; none if the process did not answer then.
	before map[string]float64
	grew   map[int]float64
	// families are those that it has.
	families map[string]bool
}

// aim sets what each target is asked for.
func (w *Watch) aim() {
	for name, t := range w.targets {
		t.names = families(w.rules, name)
	}
}

// scrape reads targets, all at once.
func (w *Watch) scrape(ctx context.Context, chosen func(*target) bool) {
	var wait sync.WaitGroup
	for _, t := range w.targets {
		if chosen(t) {
			wait.Go(func() { t.newest, t.err = scrape(ctx, t.socket, t.names) })
		}
	}
	wait.Wait()
}

// begin takes the newest samples of what runs as what the counters were.
func (w *Watch) begin(running map[string]bool) {
	for name, t := range w.targets {
		if !running[name] || t.err != nil {
			continue
		}
		t.first = &process{id: t.newest.process, before: map[string]float64{}, grew: map[int]float64{}, families: t.newest.families}
		for _, s := range t.newest.series {
			t.first.before[s.key()] = s.value
		}
		t.processes = []*process{t.first}
	}
}

// Read implements engine.Watch.
func (w *Watch) Read(ctx context.Context) []engine.Reading {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	var list *supervisorv1.ListResponse
	var listErr error
	var wait sync.WaitGroup
	wait.Go(func() { list, listErr = w.supervisor.List(ctx, &supervisorv1.ListRequest{}) })
	w.scrape(ctx, func(*target) bool { return true })
	wait.Wait()
	if listErr == nil {
		w.forget(list)
	}
	for _, t := range w.targets {
		if t.err == nil {
			t.count(w.rules)
		}
	}
	return append(w.readings(), w.crashed(list, listErr))
}

// Close implements engine.Watch: each reading has connections of its own, which are closed.
func (w *Watch) Close() {}

// forget lets go of components that the supervisor has no more: they were removed.
func (w *Watch) forget(list *supervisorv1.ListResponse) {
	present := crashesOf(list)
	for name, t := range w.targets {
		if _, ok := present[name]; !ok && name != supervisorName && t.first != nil && t.err != nil {
			delete(w.targets, name)
			w.removed[name] = true
		}
	}
}

// supervisorName is the one component that the supervisor does not list.
const supervisorName = "supervisor"

// process finds the process of the newest sample.
func (t *target) process() *process {
	for _, p := range t.processes {
		if p.id == t.newest.process {
			return p
		}
	}
	p := &process{id: t.newest.process, grew: map[int]float64{}}
	t.processes = append(t.processes, p)
	return p
}

// count takes the newest sample into account.
func (t *target) count(rules []rule) {
	p := t.process()
	t.last, p.families = p, t.newest.families
	for i, r := range rules {
		if !r.concerns(t.component) {
			continue
		}
		grew := 0.0
		for _, s := range t.newest.series {
			if r.keeps(s) {
				grew += max(0, s.value-t.base(p, r, s))
			}
		}
		p.grew[i] = grew
	}
}

// base is what a counter has to be compared with: of the process when the step began. A counter that
// outlives processes is compared with what the first of them had, unless it was begun anew since.
func (t *target) base(p *process, r rule, s series) float64 {
	if r.Survives && t.first != nil {
		if before := t.first.before[s.key()]; before <= s.value {
			return before
		}
		return 0
	}
	return p.before[s.key()]
}

// grown is how far a rule's counters grew in all processes of a component. A counter that outlives processes is
// read from the one that answered last.
func (t *target) grown(i int, r rule) float64 {
	sum := 0.0
	for _, p := range t.processes {
		if r.Survives {
			sum = max(sum, p.grew[i])
		} else {
			sum += p.grew[i]
		}
	}
	return sum
}

// readings are those of all rules; rules of one name are one reading.
func (w *Watch) readings() []engine.Reading {
	byName := map[string]*engine.Reading{}
	for i, r := range w.rules {
		reading := byName[r.Name]
		if reading == nil {
			reading = &engine.Reading{Name: r.Name}
			byName[r.Name] = reading
		}
		grown := 0.0
		for _, t := range w.targets {
			if r.concerns(t.component) {
				grown += t.grown(i, r)
			}
		}
		reading.Value += uint64(math.Ceil(grown))
		reading.Most = max(reading.Most, r.Most)
		reading.Missing = cmp.Or(reading.Missing, w.missing(r))
	}
	out := make([]engine.Reading, 0, len(byName)+1)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, *byName[name])
	}
	return out
}

// missing says why a rule has no reading; "" if it has one.
func (w *Watch) missing(r rule) string {
	var why []string
	for _, name := range slices.Sorted(maps.Keys(w.targets)) {
		t := w.targets[name]
		switch {
		case !r.concerns(name):
		case t.err != nil:
			why = append(why, fmt.Sprintf("%s gives no counters: %v", name, t.err))
		case r.component != "" && t.lacks(r):
			why = append(why, fmt.Sprintf("%s has no metric %s, which its manifest declares as a gate", name, r.Metric))
		}
	}
	if r.component != "" && w.targets[r.component] == nil && !w.removed[r.component] {
		why = append(why, fmt.Sprintf("%s has no socket named %q in its manifest", r.component, metricsSocket))
	}
	return strings.Join(why, "; ")
}

// lacks reports whether the process that answered last must have the rule's counter and has not. Of two versions, one
// may declare a gate that the other one knows nothing of.
func (t *target) lacks(r rule) bool {
	must := r.then
	if t.last == t.first {
		must = r.now
	}
	return must && !t.last.families[r.Metric]
}

// crashed is the supervisor's count of what ended by itself.
func (w *Watch) crashed(list *supervisorv1.ListResponse, err error) engine.Reading {
	reading := engine.Reading{Name: Crashes}
	if err != nil {
		reading.Missing = fmt.Sprintf("the supervisor does not answer: %v", err)
		return reading
	}
	for name, now := range crashesOf(list) {
		before := w.crashes[name]
		if now < before {
			before = 0
		}
		reading.Value += now - before
	}
	return reading
}
