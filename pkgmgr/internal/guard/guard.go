// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package guard watches over a supervisor whose program has just been replaced. It runs in a process of its own, of the
// program before, and says when that program must come back: when the new one does not report that it supervises, or ends
// before it is confirmed. The new program reports through a pipe.
package guard

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
)

// Word is one byte that the new program says.
type Word byte

// The words.
const (
	// Supervising: everything has been adopted.
	Supervising Word = 's'
	// Done: it is confirmed, or ends because it was asked to; there is nothing more to guard.
	Done Word = 'd'
)

const (
	// reportLimit is how long the new program may take to supervise.
	reportLimit = 10 * time.Second
	// trialLimit is how long it is watched after that when nobody confirms it.
	trialLimit = 10 * time.Minute
	killLimit  = 10 * time.Second
	// lastWords is how long a process that ended may be ahead of what it said.
	lastWords = 100 * time.Millisecond
)

// Tell says a word. A guard that has ended needs none.
func Tell(pipe io.Writer, w Word) { _, _ = pipe.Write([]byte{byte(w)}) }

// Watch returns true when the program before must come back; the process is dead by then. It returns false when the new
// one needs no guard any more.
func Watch(pid int, startTime uint64, words io.Reader, log *slog.Logger) (bool, error) {
	p, err := process.Adopt(pid, startTime)
	if errors.Is(err, process.ErrGone) {
		log.Warn("the new supervisor has ended", "pid", pid)
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("guard: %w", err)
	}
	defer p.Release()
	return watch(p, listen(words), reportLimit, log)
}

// listen reads words until there are no more.
func listen(from io.Reader) <-chan Word {
	words := make(chan Word, 8)
	go func() {
		defer close(words)
		one := make([]byte, 1)
		for {
			if _, err := from.Read(one); err != nil {
				return
			}
			words <- Word(one[0])
		}
	}()
	return words
}

func watch(p *process.Process, words <-chan Word, limit time.Duration, log *slog.Logger) (bool, error) {
	over := time.NewTimer(limit)
	defer over.Stop()
	supervising := false
	for {
		select {
		case w, open := <-words:
			switch {
			case w == Supervising:
				supervising = true
				over.Reset(trialLimit)
			case w == Done:
				return false, nil
			case !open && supervising:
				words = nil // it may be about to end; if so, that is told by the process
			case !open:
				log.Warn("the new supervisor does not report")
				return true, p.Kill(killLimit)
			}
		case <-p.Done():
			if heard(words, Done) {
				return false, nil
			}
			log.Warn("the new supervisor has ended", "exit", p.Exit().String())
			return true, nil
		case <-over.C:
			if supervising {
				return false, nil
			}
			log.Warn("the new supervisor does not supervise in time", "limit", limit.String())
			return true, p.Kill(killLimit)
		}
	}
}

// heard looks for a word among those that were said before the end.
func heard(words <-chan Word, want Word) bool {
	late := time.NewTimer(lastWords)
	defer late.Stop()
	for {
		select {
		case w, open := <-words:
			if w == want || !open {
				return w == want
			}
		case <-late.C:
			return false // someone else holds the pipe open
		}
	}
}
