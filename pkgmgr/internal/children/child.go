// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package children

import "time"

// Process is what a new supervisor must know of one process.
type Process struct {
	// PID and StartTime (clock ticks since boot) name the process; PID 0 means that none runs.
	PID       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"start_time,omitempty"`
	// Token is the fencing token issued to this process, 0 when it got none.
	Token uint64 `json:"token"`
	// Slot says which of the component's two lifecycle sockets and control groups it has.
	Slot string `json:"slot,omitempty"`
	// Tree is the directory it was started from, Version its manifest's.
	Tree    string    `json:"tree"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

// Child is what is known of one component: its running process, those beside it, and those before it. What its pointers
// refer to is replaced and never changed.
type Child struct {
	Process
	// ReadyAfter is how long the running process took to be ready, 0 if it was not yet.
	ReadyAfter time.Duration `json:"ready_after_ns,omitempty"`
	// Moving: a cutover is under way, so that the running process's end is no crash.
	Moving bool `json:"moving,omitempty"`

	// Candidate is staged and has no token; Draining is the one before the running one, which ends.
	Candidate *Process `json:"candidate,omitempty"`
	Draining  *Process `json:"draining,omitempty"`
	// Choice is what stands in the place of the generation's tree on this boot, nil when nothing does.
	Choice *Choice `json:"choice,omitempty"`
	// Trial is there until the running version is confirmed.
	Trial    *Trial    `json:"trial,omitempty"`
	Reversal *Reversal `json:"reversal,omitempty"`

	// Crashes and Restarts count over the life of the record, reboots included.
	Crashes  uint64 `json:"crashes"`
	Restarts uint64 `json:"restarts"`
	// LastCause is the number of ashlar.supervisor.v1.Cause; LastExit is in words.
	LastCause int32  `json:"last_cause,omitempty"`
	LastExit  string `json:"last_exit,omitempty"`
}

// Choice is made by a cutover or a removal. It holds while the generation still says what it said then.
type Choice struct {
	// Tree to run, "" when the component was removed; Instead is the generation's, "" when it had none.
	Tree    string `json:"tree"`
	Instead string `json:"instead"`
}

// Trial names the version to go back to; Tree is "" when there was none before.
type Trial struct {
	Tree    string    `json:"tree"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
}

// Reversal is a return to an earlier version that the supervisor made by itself.
type Reversal struct {
	FromTree    string    `json:"from_tree"`
	FromVersion string    `json:"from_version"`
	ToVersion   string    `json:"to_version"`
	Reason      string    `json:"reason"`
	At          time.Time `json:"at"`
}

// Processes are all that the record names, the running one first.
func (c Child) Processes() []Process {
	out := []Process{c.Process}
	for _, p := range []*Process{c.Candidate, c.Draining} {
		if p != nil {
			out = append(out, *p)
		}
	}
	return out
}

// afterReboot is what another boot still needs to know: the counters, and the tokens that were issued.
func (c Child) afterReboot() Child {
	c.PID, c.StartTime, c.LastCause, c.Moving = 0, 0, 0, false
	for _, p := range c.Processes() {
		c.Token = max(c.Token, p.Token)
	}
	c.Candidate, c.Draining, c.Choice, c.Trial = nil, nil, nil, nil
	return c
}
