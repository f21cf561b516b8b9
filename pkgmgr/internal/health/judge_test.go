// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/health"
)

func newJudge() *health.Judge { return &health.Judge{Timeout: 2 * time.Second, Failures: 3} }

func TestSilenceIsFoundAfterTheTimeout(t *testing.T) {
	j, start := newJudge(), time.Unix(1000, 0)
	j.Answer(j.Call(start), true)
	for at := 500 * time.Millisecond; ; at += 500 * time.Millisecond {
		now := start.Add(at)
		if j.Hung(now) {
			// The first unanswered call was made at 500 ms.
			if at != 2500*time.Millisecond {
				t.Errorf("found after %v", at)
			}
			return
		}
		j.Call(now)
	}
}

func TestAnswerClearsEarlierCalls(t *testing.T) {
	j, now := newJudge(), time.Unix(1000, 0)
	j.Call(now)
	j.Call(now.Add(time.Second))
	late := j.Call(now.Add(2 * time.Second))
	if !j.Hung(now.Add(2 * time.Second)) {
		t.Fatal("three calls without an answer in two seconds are too many")
	}
	j.Answer(late, true)
	if j.Waiting() != 0 || j.Hung(now.Add(time.Hour)) {
		t.Errorf("%d calls wait after a later one was answered", j.Waiting())
	}
}

func TestErrorsCount(t *testing.T) {
	j, now := newJudge(), time.Unix(1000, 0)
	for range 5 {
		j.Answer(j.Call(now), false)
		now = now.Add(100 * time.Millisecond)
	}
	if j.Hung(now) {
		t.Error("errors condemn before the timeout")
	}
	if !j.Hung(now.Add(2 * time.Second)) {
		t.Error("errors do not condemn after the timeout")
	}
	j.Answer(j.Call(now), true)
	if j.Hung(now.Add(time.Hour)) {
		t.Error("a good answer does not clear errors")
	}
}

func TestOlderAnswerLeavesLaterCallsOpen(t *testing.T) {
	j, now := newJudge(), time.Unix(1000, 0)
	first := j.Call(now)
	for i := range 3 {
		j.Call(now.Add(time.Duration(i+1) * time.Second))
	}
	j.Answer(first, true)
	if j.Hung(now.Add(2500 * time.Millisecond)) {
		t.Error("silence is counted from before the good answer's successor")
	}
	if !j.Hung(now.Add(3 * time.Second)) {
		t.Error("the later calls are forgotten")
	}
}

func TestForgive(t *testing.T) {
	j, now := newJudge(), time.Unix(1000, 0)
	for range 3 {
		j.Call(now)
	}
	j.Forgive()
	if j.Hung(now.Add(time.Hour)) {
		t.Error("what is forgiven counts")
	}
	j.Answer(1, false) // the answer to a forgiven call
	if j.Hung(now.Add(time.Hour)) {
		t.Error("an answer to a forgiven call counts")
	}
}
