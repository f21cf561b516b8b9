// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// pkg makes a package that provides its own contract and requires those of others.
func pkg(component, version string, requires ...string) *store.Package {
	m := &manifest.Manifest{Name: component, Version: version, Provides: []manifest.Provision{{Contract: component, Level: 1}}}
	for _, r := range requires {
		m.Requires = append(m.Requires, manifest.Requirement{Contract: r, Levels: manifest.Levels{Min: 1}})
	}
	digest := fmt.Sprintf("%x", component+version)
	return &store.Package{
		Component: component, Version: version, Digest: (digest + strings.Repeat("0", 64))[:64], Manifest: m, Added: time.Unix(1, 0),
	}
}

type judge func(plan.Set) bool

func (j judge) Judge(sets []plan.Set) plan.Verdict {
	var v plan.Verdict
	for _, s := range sets {
		if !j(s) {
			v.Reasons = append(v.Reasons, &pkgv1.Reason{Text: s.Name})
		}
	}
	return v
}

func all(plan.Set) bool { return true }

func has(s plan.Set, component, version string) bool {
	for _, p := range s.Packages {
		if p.Component == component && p.Version == version {
			return true
		}
	}
	return false
}

func set(list ...*store.Package) map[string]*store.Package {
	out := map[string]*store.Package{}
	for _, p := range list {
		out[p.Component] = p
	}
	return out
}

func order(p plan.Plan) string {
	var names []string
	for _, s := range p.Steps {
		names = append(names, s.Component)
	}
	return strings.Join(names, " ")
}

func devices() (map[string]*store.Package, plan.Target) {
	running, target := map[string]*store.Package{}, plan.Target{}
	for _, c := range []struct {
		name     string
		requires []string
	}{{"pkgmgr", nil}, {"supervisor", nil}, {"dataplane", nil}, {"rib", []string{"dataplane"}}, {"config", []string{"state"}}, {"state", nil}} {
		running[c.name] = pkg(c.name, "1.0.0", c.requires...)
		target[c.name] = pkg(c.name, "1.1.0", c.requires...)
	}
	return running, target
}

func TestOrder(t *testing.T) {
	running, target := devices()
	p := plan.Make(running, target, judge(all))
	if got := order(p); got != "pkgmgr dataplane state config rib supervisor" {
		t.Errorf("got %s", got)
	}
	if p.Sets != 1+2*6 {
		t.Errorf("%d sets were judged: the one that runs, and two for each step", p.Sets)
	}
}

// When the old rib cannot live with the new dataplane, rib goes first.
func TestAnotherOrderIsFound(t *testing.T) {
	running, target := devices()
	p := plan.Make(running, target, judge(func(s plan.Set) bool { return !has(s, "rib", "1.0.0") || !has(s, "dataplane", "1.1.0") }))
	if !p.Verdict.Allowed() {
		t.Fatalf("refused: %v", p.Verdict.Reasons)
	}
	if got := order(p); strings.Index(got, "rib") > strings.Index(got, "dataplane") || !strings.HasPrefix(got, "pkgmgr ") || !strings.HasSuffix(got, " supervisor") {
		t.Errorf("got %s", got)
	}
}

// When neither order is allowed, the reasons are those of the first.
func TestNoOrder(t *testing.T) {
	running, target := devices()
	p := plan.Make(running, target, judge(func(s plan.Set) bool {
		return (!has(s, "rib", "1.0.0") || !has(s, "dataplane", "1.1.0")) && (!has(s, "rib", "1.1.0") || !has(s, "dataplane", "1.0.0"))
	}))
	if p.Verdict.Allowed() || p.Verdict.Reasons[0].GetText() != "while dataplane goes from 1.0.0 to 1.1.0" {
		t.Errorf("got %v", p.Verdict.Reasons)
	}
}

func TestRemovedGoesAfterItsConsumers(t *testing.T) {
	running := set(pkg("rib", "1.0.0", "dataplane"), pkg("dataplane", "1.0.0"), pkg("host", "1.0.0"))
	p := plan.Make(running, plan.Target{"rib": nil, "dataplane": nil, "host": pkg("host", "1.1.0")}, judge(all))
	if got := order(p); got != "host rib dataplane" {
		t.Errorf("got %s", got)
	}
}

func TestResolve(t *testing.T) {
	old, middle, newest := pkg("rib", "1.9.0"), pkg("rib", "1.10.0-rc.1"), pkg("rib", "1.10.0")
	twin := pkg("rib", "1.9.0")
	twin.Digest = strings.Repeat("f", 64)
	have := []*store.Package{old, middle, newest, twin}
	free := func(string) bool { return false }
	for _, tt := range []struct {
		desc        string
		change      plan.Change
		quarantined func(string) bool
		want        *store.Package
		err         string
	}{
		{"the newest", plan.Change{Component: "rib"}, free, newest, ""},
		{"the newest that is free", plan.Change{Component: "rib"}, func(d string) bool { return d == newest.Digest }, middle, ""},
		{"none is free", plan.Change{Component: "rib"}, func(string) bool { return true }, nil, "quarantined"},
		{"by version", plan.Change{Component: "rib", Version: "1.10.0"}, free, newest, ""},
		{"by digest", plan.Change{Component: "rib", Version: "ffffffff"}, free, twin, ""},
		{"two of a version", plan.Change{Component: "rib", Version: "1.9.0"}, free, nil, "names 2 packages: say which by its digest"},
		{"no such version", plan.Change{Component: "rib", Version: "7.0.0"}, free, nil, "it has 1.9.0"},
		{"no such component", plan.Change{Component: "bgp"}, free, nil, "add one with `ashlar install add`"},
		{"remove what does not run", plan.Change{Component: "bgp", Remove: true}, free, nil, "does not run"},
		{"remove the manager", plan.Change{Component: "pkgmgr", Remove: true}, free, nil, "cannot be removed"},
	} {
		got, err := plan.Resolve([]plan.Change{tt.change}, have, set(old), tt.quarantined)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v, want %q", tt.desc, err, tt.err)
			}
			continue
		}
		if err != nil || got["rib"] != tt.want {
			t.Errorf("%s: got %v, %v", tt.desc, got["rib"], err)
		}
	}
}
