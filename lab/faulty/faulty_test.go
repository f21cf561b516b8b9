// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/rpm"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

const (
	top     = "../.."
	subject = "host"
	version = "1.9.1"
)

// maker keeps programs in the tree's build directory, as make does. Keys and the real packages' results are the test's own.
func testMaker(t *testing.T) Maker {
	t.Helper()
	m := InBuild(top)
	m.Work, m.Keys, m.Repository = filepath.Join(m.Work, "test"), filepath.Join(m.Work, "test", "keys"), t.TempDir()
	document, err := json.Marshal(result{Type: evidenceType, Consumer: "config", Contract: "ashlar.telemetry.v1", ContractHash: strings.Repeat("c", 64),
		Provider: subject, ProviderVersion: "1.0.0", ProviderDigest: strings.Repeat("d", 64), Suite: "7", Profile: "lab", Result: "passed", Interactions: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(m.Repository, "evidence"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.Repository, "evidence", "a.json"), document, 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

func trusted(t *testing.T, m Maker) rpm.Keyring {
	t.Helper()
	key, err := loadOrMakeKey(m.Keys, "ashlar")
	if err != nil {
		t.Fatal(err)
	}
	return key.Keyring()
}

func must(t *testing.T, m Maker, kind Kind) *Package {
	t.Helper()
	p, err := m.Make(context.Background(), Spec{Kind: kind, Component: subject, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What misbehaves only when it runs is a good package, with results that passed.
func TestAdmitted(t *testing.T) {
	m := testMaker(t)
	misbehaving, _ := Kinds()
	for _, kind := range append(misbehaving, UnmetContract, NoEvidence, FailedEvidence) {
		t.Run(string(kind), func(t *testing.T) {
			made := must(t, m, kind)
			p, err := rpm.Open(made.RPM, trusted(t, m))
			if err != nil {
				t.Fatal(err)
			}
			if p.Component != subject || p.Version != version || p.Digest != made.Digest || !strings.Contains(p.Summary, string(kind)) {
				t.Errorf("got %s %s %s %q", p.Component, p.Version, p.Digest, p.Summary)
			}
			checkEvidence(t, m, made)
			checkPrograms(t, kind, p)
		})
	}
}

func checkEvidence(t *testing.T, m Maker, made *Package) {
	t.Helper()
	if made.Kind == NoEvidence {
		if len(made.Evidence) != 0 {
			t.Errorf("there are results: %v", made.Evidence)
		}
		return
	}
	want := map[bool]string{true: "failed", false: "passed"}[made.Kind == FailedEvidence]
	found := false
	for _, file := range made.Evidence {
		if !strings.HasSuffix(file, ".json") {
			continue
		}
		text, _, err := rpm.VerifyFile(file, trusted(t, m))
		if err != nil {
			t.Fatal(err)
		}
		var r result
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if r.ProviderDigest != made.Digest || r.ProviderVersion != version || r.Result != want || (want == "failed") != (len(r.Failures) > 0) {
			t.Errorf("%s: %+v", file, r)
		}
		found = found || r.Consumer == "config" && r.ContractHash == strings.Repeat("c", 64) && r.Suite == "7" && r.Interactions == 3
	}
	if !found {
		t.Errorf("the result that the real package has is not among %v", made.Evidence)
	}
}

// checkPrograms unpacks and asks the real program what it is: as the supervisor, which compares it with the package.
func checkPrograms(t *testing.T, kind Kind, p *rpm.Package) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	if err := p.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, p.Manifest.Run.Command[0])
	real, hasReal := program, true
	switch {
	case shimmed(kind):
		real += realSuffix
	case kind == CrashAtStart, kind == Hang:
		hasReal = false
	}
	if !hasReal {
		if files := p.Files(); slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, realSuffix) }) {
			t.Errorf("there is a real program in %v", files)
		}
		return
	}
	text, err := exec.Command(real, "--manifest").Output()
	if err != nil {
		t.Fatal(err)
	}
	inside, err := manifest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	outside, err := manifest.Load(filepath.Join(dir, "component.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if inside.Version != version || slices.Equal(inside.Provides, outside.Provides) == (kind == Drift) {
		t.Errorf("the program says %s with %v, the package %v", inside.Version, inside.Provides, outside.Provides)
	}
	if unmet := slices.ContainsFunc(outside.Requires, func(r manifest.Requirement) bool { return r.Levels.Min > beyond }); unmet != (kind == UnmetContract) {
		t.Errorf("requires %v", outside.Requires)
	}
}

func TestRefused(t *testing.T) {
	m := testMaker(t)
	for kind, want := range map[Kind]error{
		Tampered: rpm.ErrDamaged, TamperedHeader: rpm.ErrDamaged, Truncated: rpm.ErrDamaged, Unsigned: rpm.ErrUnsigned, WrongKey: rpm.ErrUntrusted,
	} {
		made := must(t, m, kind)
		if _, err := rpm.Open(made.RPM, trusted(t, m)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", kind, err, want)
		}
		if filepath.Base(made.RPM) != rpm.FileName(subject, version, rpm.HostArch()) {
			t.Errorf("%s: the file is called %s", kind, made.RPM)
		}
	}
	// Without its signatures it is whole, as rpm finds too.
	out, err := exec.Command("rpm", "-K", "--nosignature", must(t, m, Unsigned).RPM).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "digests OK") {
		t.Errorf("rpm -K of the unsigned package: %v: %s", err, out)
	}
}

func TestMadeOnce(t *testing.T) {
	m := testMaker(t)
	first := must(t, m, Unsigned)
	inside := filepath.Join(filepath.Dir(first.RPM), good, filepath.Base(first.RPM))
	before, err := os.Stat(inside)
	if err != nil {
		t.Fatal(err)
	}
	second := must(t, m, Unsigned)
	after, err := os.Stat(inside)
	if err != nil || first.Digest != second.Digest || !os.SameFile(before, after) {
		t.Errorf("packed again: %s and %s, %v", first.Digest, second.Digest, err)
	}
}

// Every component can be had in every kind of manifest.
func TestRewriteEveryComponent(t *testing.T) {
	m := testMaker(t)
	misbehaving, refused := Kinds()
	for _, name := range []string{"config", "dataplane", "host", "interfaces", "rib", "state", "supervisor"} {
		c, err := m.component(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range slices.Concat(misbehaving, refused) {
			inside, outside, err := c.rewrite(Spec{Kind: kind, Component: name, Version: version, After: DefaultAfter})
			if kind == UnmetContract && len(c.Requires) == 0 {
				if err == nil {
					t.Errorf("%s requires nothing, and a requirement was raised", name)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
				continue
			}
			if got, err := manifest.Parse(outside); err != nil || got.Version != version || got.Daemon != c.Daemon || len(got.Sockets) != len(c.Sockets) {
				t.Errorf("%s, %s: %v: %s", name, kind, err, outside)
			}
			if string(inside) == string(outside) == (kind == Drift) {
				t.Errorf("%s, %s: inside and outside", name, kind)
			}
		}
	}
}

func TestUnknownComponent(t *testing.T) {
	_, err := testMaker(t).Make(context.Background(), Spec{Kind: Crash, Component: "ospf", Version: version})
	if err == nil || !strings.Contains(err.Error(), "there is no such component") {
		t.Errorf("got %v", err)
	}
}
