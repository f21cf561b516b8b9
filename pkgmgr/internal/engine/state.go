// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"slices"
	"time"
)

// Outcome is how an operation stands.
type Outcome string

// The outcomes.
const (
	Running   Outcome = "running"
	Succeeded Outcome = "succeeded"
	// Reversed: it failed and everything is as before.
	Reversed Outcome = "reversed"
	// Failed: it failed and the way back did, too.
	Failed  Outcome = "failed"
	Refused Outcome = "refused"
	// Aborted: an operator or the commit timer ended it, and everything is as before.
	Aborted Outcome = "aborted"
)

// The kinds of operations.
const (
	KindApply    = "apply"
	KindRollback = "rollback"
	KindCommit   = "commit"
)

// Step is one component of an operation. Digests are empty where nothing is: a component that is added or removed.
type Step struct {
	Component   string `json:"component"`
	From        string `json:"from,omitempty"`
	FromVersion string `json:"from_version,omitempty"`
	To          string `json:"to,omitempty"`
	ToVersion   string `json:"to_version,omitempty"`
	Handover    string `json:"handover,omitempty"`
}

// Progress is one thing that an operation has to tell.
type Progress struct {
	Time      time.Time `json:"time"`
	Component string    `json:"component,omitempty"`
	Phase     string    `json:"phase"`
	Message   string    `json:"message,omitempty"`
	Step      int       `json:"step,omitempty"`
	Gates     []Reading `json:"gates,omitempty"`
	FrozenUS  uint64    `json:"frozen_us,omitempty"`
	Outcome   Outcome   `json:"outcome"`
}

// Operation is one change of the running or the committed set.
type Operation struct {
	ID      uint64    `json:"id"`
	Kind    string    `json:"kind"`
	By      string    `json:"by"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Outcome Outcome   `json:"outcome"`
	Reason  string    `json:"reason,omitempty"`
	Steps   []Step    `json:"steps,omitempty"`

	// Commit: the set is committed once it is applied. Generation is the one that this operation commits.
	Commit     bool          `json:"commit,omitempty"`
	Generation uint64        `json:"generation,omitempty"`
	Soak       time.Duration `json:"soak_ns,omitempty"`
	Timer      time.Duration `json:"timer_ns,omitempty"`
	Boot       string        `json:"boot"`

	// At is the step that is under way, from 0; Done the phases of it, or of the operation's end, that are.
	At   int      `json:"at"`
	Done []string `json:"done,omitempty"`
	// Resumed counts how often a new process went on with the operation.
	Resumed int `json:"resumed,omitempty"`
	// Back: it is being taken back, for Reason, and will end as Ending.
	Back   bool    `json:"back,omitempty"`
	Ending Outcome `json:"ending,omitempty"`

	Progress []Progress `json:"progress,omitempty"`
}

// done reports whether a phase of the step under way is done.
func (o *Operation) done(phase string) bool { return slices.Contains(o.Done, phase) }

// clone is deep enough for readers: what records append to is not shared.
func (o *Operation) clone() *Operation {
	c := *o
	c.Steps, c.Done, c.Progress = slices.Clone(o.Steps), slices.Clone(o.Done), slices.Clone(o.Progress)
	return &c
}

// State is what the journal's records add up to. It is changed by take and nothing else.
type State struct {
	// Boot is the kernel's id of the boot in which Running runs.
	Boot string `json:"boot"`
	// Running is each component's package digest.
	Running map[string]string `json:"running"`
	// Pending is what each component shall go to; empty takes it off. Nil means that nothing is proposed.
	Pending map[string]string `json:"pending,omitempty"`
	// Quarantine says of a package why it is not tried by itself.
	Quarantine map[string]string `json:"quarantine,omitempty"`
	// Operations are the newest ones, oldest first.
	Operations []*Operation `json:"operations,omitempty"`
	LastID     uint64       `json:"last_id"`
	// Applied is the operation whose set runs and is not committed, 0 for none. Deadline is on the clock that counts
	// from boot, sleep included; RevertsAt is the same for people.
	Applied   uint64        `json:"applied,omitempty"`
	Deadline  time.Duration `json:"deadline_ns,omitempty"`
	RevertsAt time.Time     `json:"reverts_at"`
}

// Bounds of what is remembered.
const (
	keepOperations = 100
	keepProgress   = 4
)

func newState() *State {
	return &State{Running: map[string]string{}, Quarantine: map[string]string{}}
}

// operation returns one by its id, or nil.
func (s *State) operation(id uint64) *Operation {
	for _, o := range s.Operations {
		if o.ID == id {
			return o
		}
	}
	return nil
}

// current is the operation under way, or nil.
func (s *State) current() *Operation {
	for _, o := range s.Operations {
		if o.Outcome == Running {
			return o
		}
	}
	return nil
}

func (s *State) clone() *State {
	c := *s
	c.Running, c.Pending, c.Quarantine = maps.Clone(s.Running), maps.Clone(s.Pending), maps.Clone(s.Quarantine)
	c.Operations = nil
	for _, o := range s.Operations {
		c.Operations = append(c.Operations, o.clone())
	}
	return &c
}

// remember adds an operation and forgets what is too old.
func (s *State) remember(o *Operation) {
	s.Operations = append(s.Operations, o)
	s.LastID = max(s.LastID, o.ID)
	if n := len(s.Operations) - keepOperations; n > 0 {
		s.Operations = slices.Delete(s.Operations, 0, n)
	}
	for i := range len(s.Operations) - keepProgress {
		s.Operations[i].Progress = nil
	}
}
