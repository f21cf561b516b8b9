// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/cgroup"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/health"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
)

// session is one process of a component, from its start or adoption to its end. It belongs to the
// node's goroutine.
type session struct {
	c       generation.Component
	slot    slot
	process *process.Process
	client  *health.Client
	// token is 0 for a candidate.
	token   uint64
	started time.Time
	// logged is where the process's own part of the log begins, in bytes.
	logged int64
	// group is nil when the control group could not be made.
	group *cgroup.Group
	// kills is how many processes the group had lost for want of memory when the session began.
	kills uint64

	judge health.Judge
	// adopted: the process is older than this supervisor; thaw: the earlier one may have frozen it.
	adopted, thaw bool
	// answered: the process has answered at least once; activated: it has its token.
	answered, activated bool
	// readySince is when the process was first ready, zero before; ready is its newest word.
	readySince time.Time
	ready      bool
	// changed is when the newest word last changed from or to ready.
	changed time.Time
	// ending is why the process is asked to end, when it is.
	ending status.Cause
	// staged: a candidate has proven what it serves. Until then, verdicts get the outcome; each has room for it.
	staged   bool
	verdicts []chan<- error
}

// release lets go of the process without ending it.
func (s *session) release() {
	s.client.Close()
	s.process.Release()
	if s.group != nil {
		s.group.Close()
	}
}

// readyFor is how long ago the process became ready, 0 if it never did.
func (s *session) readyFor(now time.Time) time.Duration {
	if s.readySince.IsZero() {
		return 0
	}
	return max(now.Sub(s.readySince), 1)
}

// ended reports whether the process is known to be gone.
func (s *session) ended() bool {
	select {
	case <-s.process.Done():
		return true
	default:
		return false
	}
}

// within bounds a call to the process, which ends with the process too: its socket outlives it, and a call would wait
// there for the next one.
func (s *session) within(limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	go func() {
		select {
		case <-s.process.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// record is the session as the book has it.
func (s *session) record() children.Process {
	return children.Process{
		PID: s.process.PID, StartTime: s.process.StartTime, Token: s.token, Slot: string(s.slot),
		Tree: s.c.Tree, Version: s.c.Manifest.Version, Started: s.started,
	}
}
