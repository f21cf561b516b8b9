// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What records say.
const (
	// recordSnapshot is a whole state: the first record of a journal that was shortened.
	recordSnapshot = "snapshot"
	// recordBoot: the machine was booted; the committed set runs.
	recordBoot = "boot"
	// recordPending is a proposal, or that there is none.
	recordPending = "pending"
	// recordBegin begins an operation.
	recordBegin = "begin"
	// recordIntent: the effect of a phase may begin from here on. recordDone: it is there.
	recordIntent = "intent"
	recordDone   = "done"
	// recordResume: a new process goes on with the operation.
	recordResume = "resume"
	// recordBack: the operation is taken back from here on. recordUndone: one step is.
	recordBack   = "back"
	recordUndone = "undone"
	recordEnd    = "end"
	// recordQuarantine: a package failed. recordFree: it was removed.
	recordQuarantine = "quarantine"
	recordFree       = "free"
)

// Record is one entry of the journal.
type Record struct {
	Kind string    `json:"kind"`
	Time time.Time `json:"time"`

	Snapshot *State            `json:"snapshot,omitempty"`
	Boot     string            `json:"boot,omitempty"`
	Members  map[string]string `json:"members,omitempty"`
	Pending  map[string]string `json:"pending,omitempty"`
	Begin    *Operation        `json:"begin,omitempty"`

	Operation uint64        `json:"operation,omitempty"`
	Step      int           `json:"step,omitempty"`
	Phase     string        `json:"phase,omitempty"`
	Message   string        `json:"message,omitempty"`
	FrozenUS  uint64        `json:"frozen_us,omitempty"`
	Gates     []Reading     `json:"gates,omitempty"`
	Outcome   Outcome       `json:"outcome,omitempty"`
	Deadline  time.Duration `json:"deadline_ns,omitempty"`
	RevertsAt time.Time     `json:"reverts_at,omitzero"`
	Digest    string        `json:"digest,omitempty"`
}

var errUnknownRecord = errors.New("a record that this package manager does not know")

func (r Record) encode() ([]byte, error) { return json.Marshal(r) }

func decode(payload []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(payload, &r); err != nil {
		return r, fmt.Errorf("a record that does not read: %w", err)
	}
	return r, nil
}

// take brings a record into the state.
func (s *State) take(r Record) error {
	switch r.Kind {
	case recordSnapshot:
		if r.Snapshot == nil {
			return errUnknownRecord
		}
		*s = *r.Snapshot.clone()
	case recordBoot:
		s.Boot, s.Running = r.Boot, copied(r.Members)
		s.Applied, s.Deadline, s.RevertsAt = 0, 0, time.Time{}
	case recordPending:
		s.Pending = r.Pending
	case recordBegin:
		if r.Begin == nil {
			return errUnknownRecord
		}
		s.begin(r)
	case recordQuarantine:
		s.Quarantine[r.Digest] = r.Message
	case recordFree:
		delete(s.Quarantine, r.Digest)
	default:
		return s.takeOfOperation(r)
	}
	if s.Quarantine == nil {
		s.Quarantine = map[string]string{}
	}
	if s.Running == nil {
		s.Running = map[string]string{}
	}
	return nil
}

func copied(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (s *State) begin(r Record) {
	o := r.Begin.clone()
	s.remember(o)
	if o.Kind == KindApply && o.Outcome == Running {
		s.Pending = nil
	}
	message := ""
	switch len(o.Steps) {
	case 0:
		message = "asked for by " + o.By
	case 1:
		message = fmt.Sprintf("1 step, asked for by %s", o.By)
	default:
		message = fmt.Sprintf("%d steps, asked for by %s", len(o.Steps), o.By)
	}
	if o.Outcome != Running {
		message = o.Reason
	}
	o.Progress = append(o.Progress, Progress{Time: r.Time, Phase: phasePlanned, Message: message, Outcome: o.Outcome})
}

func (s *State) takeOfOperation(r Record) error {
	o := s.operation(r.Operation)
	if o == nil {
		return fmt.Errorf("a record of operation %d, which never began", r.Operation)
	}
	if r.Step < 0 || r.Step > len(o.Steps) || r.Step == len(o.Steps) && (r.Kind == recordUndone || r.Phase == phaseCutover) {
		return fmt.Errorf("a record of step %d of operation %d, which has %d", r.Step+1, o.ID, len(o.Steps))
	}
	tell := Progress{Time: r.Time, Phase: r.Phase, Message: r.Message, Gates: r.Gates, FrozenUS: r.FrozenUS, Outcome: Running}
	if r.Step < len(o.Steps) {
		tell.Component, tell.Step = o.Steps[r.Step].Component, r.Step+1
	}
	switch r.Kind {
	case recordIntent:
		if r.Message == "" {
			return nil
		}
	case recordDone:
		s.done(o, r)
	case recordResume:
		o.Resumed++
		tell.Phase, tell.Component, tell.Step = phaseOf(o), "", 0
	case recordBack:
		o.Back, o.Ending, o.Reason, o.Outcome, o.Ended = true, r.Outcome, r.Message, Running, time.Time{}
		if s.Applied == o.ID {
			s.Applied, s.Deadline, s.RevertsAt = 0, 0, time.Time{}
		}
		tell.Component, tell.Step = "", 0
	case recordUndone:
		setMember(s.Running, o.Steps[r.Step].Component, o.Steps[r.Step].From)
	case recordEnd:
		o.Outcome, o.Reason, o.Ended = r.Outcome, r.Message, r.Time
		tell.Outcome, tell.Component, tell.Step = r.Outcome, "", 0
	default:
		return fmt.Errorf("%w: %q", errUnknownRecord, r.Kind)
	}
	o.Progress = append(o.Progress, tell)
	return nil
}

// done moves the operation on.
func (s *State) done(o *Operation, r Record) {
	if r.Step != o.At {
		o.At, o.Done = r.Step, nil
	}
	o.Done = append(o.Done, r.Phase)
	switch r.Phase {
	case phaseCutover:
		setMember(s.Running, o.Steps[r.Step].Component, o.Steps[r.Step].To)
	case phaseApplied:
		s.Applied, s.Deadline, s.RevertsAt = o.ID, r.Deadline, r.RevertsAt
	case phaseCommitted:
		s.Applied, s.Deadline, s.RevertsAt = 0, 0, time.Time{}
	}
}

func setMember(set map[string]string, component, digest string) {
	if digest == "" {
		delete(set, component)
	} else {
		set[component] = digest
	}
}

// phaseOf is the newest phase that an operation told of.
func phaseOf(o *Operation) string {
	if len(o.Progress) == 0 {
		return phasePlanned
	}
	return o.Progress[len(o.Progress)-1].Phase
}
