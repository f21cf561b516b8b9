// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"log/slog"
	"os/exec"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
)

// supervisor is a process that stands for the new program.
func supervisor(t *testing.T) *process.Process {
	t.Helper()
	c := exec.Command("sleep", "100")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	start, err := process.StartTime(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Adopt(c.Process.Pid, start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(killLimit); err != nil {
			t.Error(err)
		}
		p.Release()
	})
	return p
}

func TestWhenTheProgramBeforeComesBack(t *testing.T) {
	for _, test := range []struct {
		desc         string
		words        []Word
		closed, dies bool
		back         bool
	}{
		{"confirmed", []Word{Supervising, Done}, false, false, false},
		{"ends because it was asked to", []Word{Supervising, Done}, true, true, false},
		{"never reports", nil, false, false, true},
		{"closes its end", nil, true, false, true},
		{"dies at once", nil, true, true, true},
		{"dies on trial", []Word{Supervising}, true, true, true},
	} {
		t.Run(test.desc, func(t *testing.T) {
			p := supervisor(t)
			words := make(chan Word, 8)
			for _, w := range test.words {
				words <- w
			}
			if test.dies {
				if err := p.Kill(killLimit); err != nil {
					t.Fatal(err)
				}
			}
			if test.closed {
				close(words)
			}
			back, err := watch(p, words, 50*time.Millisecond, slog.New(slog.DiscardHandler))
			if err != nil || back != test.back {
				t.Errorf("back %t, %v; want %t", back, err, test.back)
			}
			if back {
				select {
				case <-p.Done():
				default:
					t.Error("the program before comes back beside a living one")
				}
			}
		})
	}
}
