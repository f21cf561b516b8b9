// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	"github.com/ashlar-nos/ashlar/services/kit/telemetry"
)

var (
	_ Publisher       = (*telemetry.Publisher)(nil)
	_ engine.Observer = New(nil).Observe
)

// paper keeps what is published, and what the last publication was.
type paper struct {
	leaves map[string]any
	last   map[string]any
}

func (p *paper) Publish(_ time.Time, updates map[string]any, deletes ...string) {
	if len(deletes) > 0 {
		panic("subtrees are not deleted")
	}
	p.last = updates
	for path, value := range updates {
		if value == nil {
			delete(p.leaves, path)
		} else {
			p.leaves[path] = value
		}
	}
}

// whole is a state in which every leaf has something to say.
func whole() *pkgv1.ShowResponse {
	at := func(n int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(n, 0)) }
	return &pkgv1.ShowResponse{
		CommittedGeneration: 2,
		Generations:         []*pkgv1.Generation{{Id: 2, Members: []*pkgv1.Member{{Component: "rib", Version: "1.0.0", Digest: "aa"}}}},
		Running:             []*pkgv1.Member{{Component: "rib", Version: "1.1.0", Digest: "bb"}},
		Pending:             &pkgv1.Plan{Steps: []*pkgv1.PlannedStep{{Component: "rib"}}},
		RevertsAt:           at(50),
		Packages: []*pkgv1.Package{
			{Component: "rib", Version: "1.0.0", Digest: "aa", Signer: "lab", Committed: true},
			{Component: "rib", Version: "1.1.0", Digest: "b0", Added: at(9)},
			{Component: "rib", Version: "1.1.0", Digest: "bb", Active: true, Quarantine: "it crashed", Added: at(3)},
		},
		Current: &pkgv1.Operation{
			Id: 7, Kind: "apply", By: "uid 0", Began: at(1), Outcome: pkgv1.Outcome_OUTCOME_RUNNING,
			Steps: []*pkgv1.PlannedStep{{Component: "config"}, {Component: "rib", FromVersion: "1.0.0", ToVersion: "1.1.0"}},
			Progress: &pkgv1.Progress{Operation: 7, Component: "rib", Phase: "observe", Step: 2, Steps: 2, FrozenUs: 3100,
				Gates: []*pkgv1.GateReading{{Name: "packets lost", Value: 1}, {Name: "calls failed", Value: 2}, {Name: "crashes", Value: 3}}},
		},
		History: []*pkgv1.Operation{{Id: 6, Kind: "add", Ended: at(2), Outcome: pkgv1.Outcome_OUTCOME_REFUSED, Reason: "no"}},
	}
}

func TestLeaves(t *testing.T) {
	p := &paper{leaves: map[string]any{}}
	New(p).Observe(whole())
	const op = "/install/operations/operation[id=7]/state/"
	const rib = "/install/packages/package[component=rib][version=1.1.0]/state/"
	for path, want := range map[string]any{
		"/install/state/committed-generation": uint64(2),
		"/install/state/committed":            false,
		"/install/state/reverts-at":           uint64(50e9),
		"/install/state/pending-steps":        uint32(1),
		"/install/state/current-operation":    uint64(7),
		op + "outcome":                        "RUNNING",
		op + "component":                      "rib",
		op + "from-version":                   "1.0.0",
		op + "to-version":                     "1.1.0",
		op + "phase":                          "observe",
		op + "step":                           uint32(2),
		op + "steps":                          uint32(2),
		op + "packets-lost":                   uint64(1),
		op + "calls-failed":                   uint64(2),
		op + "frozen-time":                    uint64(3100),
		"/install/operations/operation[id=6]/state/outcome": "REFUSED",
		"/install/operations/operation[id=6]/state/reason":  "no",
		rib + "digest":     "bb",
		rib + "quarantine": "it crashed",
		"/install/packages/package[component=rib][version=1.0.0]/state/committed": true,
	} {
		if got := p.leaves[path]; got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

// TestEveryLeafIsPublished holds the publication against the model: neither has a leaf that the other one lacks.
func TestEveryLeafIsPublished(t *testing.T) {
	text, err := os.ReadFile("../../../services/config/yang/ashlar-install.yang")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	list := "install"
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 3 && f[0] == "list":
			list = f[1]
		case len(f) == 3 && f[0] == "leaf" && strings.HasPrefix(line, strings.Repeat(" ", 10)+"leaf"), len(f) == 3 && f[0] == "leaf" && list == "install":
			want = append(want, list+" "+f[1])
		}
	}
	p := &paper{leaves: map[string]any{}}
	New(p).Observe(whole())
	form := regexp.MustCompile(`^/(?:[^[/]+/)*?([a-z]+)(?:\[.*\])?/state/([a-z-]+)$`)
	var got []string
	for path := range p.leaves {
		m := form.FindStringSubmatch(path)
		if m == nil {
			t.Fatalf("%s has no form of the model's", path)
		}
		got = append(got, m[1]+" "+m[2])
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("the model has - and what is published has +:\n%s", diff)
	}
}

func TestOnlyChangesArePublished(t *testing.T) {
	p := &paper{leaves: map[string]any{}}
	i := New(p)
	i.Observe(whole())
	p.last = nil
	i.Observe(whole())
	if p.last != nil {
		t.Errorf("published %v, and nothing changed", p.last)
	}
	next := whole()
	// The end is of no step: what is known of the last one stands.
	next.RevertsAt, next.Current.Outcome = nil, pkgv1.Outcome_OUTCOME_SUCCEEDED
	next.Current.Progress = &pkgv1.Progress{Operation: 7, Phase: "applied", Steps: 2}
	i.Observe(next)
	const op = "/install/operations/operation[id=7]/state/"
	want := map[string]any{"/install/state/reverts-at": nil, "/install/state/current-operation": nil, op + "outcome": "SUCCEEDED", op + "phase": "applied"}
	if diff := cmp.Diff(want, p.last); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

func TestNextStepCountsAnew(t *testing.T) {
	p := &paper{leaves: map[string]any{}}
	i := New(p)
	shown := whole()
	shown.Current.Progress.Step = 1
	i.Observe(shown)
	shown = whole()
	shown.Current.Progress = &pkgv1.Progress{Operation: 7, Phase: "staged", Step: 2, Steps: 2}
	i.Observe(shown)
	const op = "/install/operations/operation[id=7]/state/"
	want := map[string]any{op + "step": uint32(2), op + "component": "rib", op + "from-version": "1.0.0", op + "to-version": "1.1.0", op + "phase": "staged",
		op + "packets-lost": nil, op + "calls-failed": nil, op + "frozen-time": nil}
	if diff := cmp.Diff(want, p.last); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

func TestOperationsAreBounded(t *testing.T) {
	shown := &pkgv1.ShowResponse{}
	p := &paper{leaves: map[string]any{}}
	i := New(p)
	for id := range uint64(50) {
		shown.Current = &pkgv1.Operation{Id: id + 1, Kind: "apply"}
		shown.History = append(shown.History, shown.GetCurrent())
		i.Observe(shown)
	}
	n := 0
	for path := range p.leaves {
		if strings.HasSuffix(path, "/state/id") {
			n++
		}
	}
	if n != keptOperations {
		t.Errorf("%d operations are shown, want %d", n, keptOperations)
	}
	if _, ok := p.leaves[fmt.Sprintf("/install/operations/operation[id=%d]/state/id", 50-keptOperations)]; ok {
		t.Error("an old one stayed")
	}
}
