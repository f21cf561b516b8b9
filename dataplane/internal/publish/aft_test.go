// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

type sink map[string]any

func (s sink) Publish(_ time.Time, u map[string]any, _ ...string)     { maps.Copy(s, u) }
func (s sink) ReplaceSubtree(_ time.Time, _ string, u map[string]any) { maps.Copy(s, u) }

type wires struct{}

func (wires) Attach(uint32) (string, error) { return "native", nil }
func (wires) Detach(uint32) error           { return nil }
func (wires) Filled() error                 { return nil }

// TestTruncationIsTold: telemetry that has not all routes says so, and how many there are.
func TestTruncationIsTold(t *testing.T) {
	m, err := tables.NewMemory(1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(m, engine.Options{
		Limits: engine.DefaultLimits(), Attacher: wires{}, Grace: func() error { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := e.Open(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	told := sink{}
	p := New(e, told, [32]byte{}, false, func() []engine.Usage { return nil }, slog.New(slog.DiscardHandler))
	have := 0
	for _, c := range []struct {
		desc             string
		total, published int
		truncated        bool
	}{
		{"all", routeLimit, routeLimit, false},
		{"one too many", routeLimit + 1, routeLimit, true},
	} {
		b := engine.Batch{Groups: []engine.Group{{ID: 1, Action: engine.Drop}}}
		for ; have < c.total; have++ {
			b.V4.Prefixes = append(b.V4.Prefixes, 20, byte(have>>8), byte(have), 0, 24)
			b.V4.Groups = append(b.V4.Groups, 1)
		}
		if err := s.Apply(b); err != nil {
			t.Fatal(err)
		}
		p.table(time.Now())
		for leaf, want := range map[string]any{
			"afts-total": uint64(c.total), "afts-published": uint64(c.published), "afts-truncated": c.truncated,
		} {
			if got := told["/dataplane/state/"+leaf]; got != want {
				t.Errorf("%s: %s is %v, want %v", c.desc, leaf, got, want)
			}
		}
	}
}
