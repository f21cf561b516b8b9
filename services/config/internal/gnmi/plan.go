// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// plan says when what is due for one subscriber: samples, and the heartbeats of on-change subscriptions. It
// belongs to one goroutine.
type plan struct{ tasks []*task }

// task is a subscription that is walked at intervals.
type task struct {
	subscription
	every time.Duration
	next  time.Time
	last  time.Time
	// sent is what a sampled subscription sent last of each leaf; nil for a heartbeat.
	sent map[string]sample
}

// sample is a leaf as it was last sent. round tells the leaves that were there the last time.
type sample struct {
	path  *pb.Path
	value schema.Value
	at    time.Time
	round uint64
}

func newPlan(list *subscriptionList, now time.Time) *plan {
	p := &plan{}
	for _, entry := range list.entries {
		t := &task{subscription: entry, every: entry.sample, last: now}
		switch {
		case entry.sample > 0:
			t.sent = map[string]sample{}
		case entry.heartbeat > 0:
			t.every = entry.heartbeat
		default:
			continue
		}
		t.next = now.Add(t.every)
		p.tasks = append(p.tasks, t)
	}
	return p
}

// wait is the time to the next task.
func (p *plan) wait(now time.Time) time.Duration {
	wait := slowest
	for _, t := range p.tasks {
		wait = min(wait, t.next.Sub(now))
	}
	return max(wait, 0)
}

// remember takes what the first snapshot sent for sent.
func (p *plan) remember(view tree.View, now time.Time) {
	for _, t := range p.tasks {
		if t.sent == nil {
			continue
		}
		t.walk(view, func(l *tree.Leaf) bool {
			path := l.GNMI()
			t.sent[gpath.String(path)] = sample{path: path, value: l.Value, at: now}
			return true
		})
	}
}

// run sends what is due. Missed turns are skipped.
func (p *plan) run(now time.Time, view tree.View, out *sender) {
	for _, t := range p.tasks {
		if t.next.After(now) {
			continue
		}
		if t.sent == nil {
			t.walk(view, func(l *tree.Leaf) bool { return out.leaf(l, t.moment(l, now)) })
		} else {
			t.take(now, view, out)
		}
		t.last = now
		for !t.next.After(now) {
			t.next = t.next.Add(t.every * (1 + now.Sub(t.next)/t.every))
		}
	}
}

func (t *task) walk(view tree.View, fn func(*tree.Leaf) bool) {
	for _, path := range t.paths {
		if !view.Walk(path, tree.All, fn) {
			return
		}
	}
}

// take sends one sample, and one delete for each leaf that is gone since the last.
func (t *task) take(now time.Time, view tree.View, out *sender) {
	round := uint64(now.UnixNano())
	t.walk(view, func(l *tree.Leaf) bool {
		path := l.GNMI()
		key := gpath.String(path)
		old, had := t.sent[key]
		due := t.heartbeat > 0 && now.Sub(old.at) >= t.heartbeat
		if had && t.suppress && !due && old.value.Equal(l.Value) {
			old.round = round
			t.sent[key] = old
			return true
		}
		t.sent[key] = sample{path: path, value: l.Value, at: now, round: round}
		return out.leaf(l, t.moment(l, now))
	})
	for key, s := range t.sent {
		if s.round != round {
			delete(t.sent, key)
			out.gone(s.path, now)
		}
	}
}

// moment is when a value was collected: when it changed, if that was since the last turn; else it is
// known to be so now.
func (t *task) moment(l *tree.Leaf, now time.Time) time.Time {
	if l.At.After(t.last) {
		return l.At
	}
	return now
}
