// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package roster_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

func provides(contracts ...string) (out []manifest.Provision) {
	for _, c := range contracts {
		out = append(out, manifest.Provision{Contract: c, Level: 1})
	}
	return out
}

func device() roster.Roster {
	return roster.Roster{Components: []roster.Component{
		{Name: "rib", UID: 10, Provides: provides("ashlar.rib.v1", "ashlar.lifecycle.v1"),
			Requires: []manifest.Requirement{{Contract: "ashlar.dataplane.v1", Levels: manifest.Levels{Min: 1}}}},
		{Name: "dataplane", UID: 11, Provides: provides("ashlar.dataplane.v1", "ashlar.lifecycle.v1")},
	}}
}

func TestWriteAndLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "roster.json")
	for range 2 { // the second time over an existing file
		if err := roster.Write(file, device()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := roster.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(device(), got); diff != "" {
		t.Error(diff)
	}
	if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
		t.Errorf("%d files beside the roster, want none left over", len(entries)-1)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	if _, err := roster.Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("want an error for a file that is not there")
	}
	file := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := roster.Load(file); err == nil {
		t.Error("want an error for a file that does not parse")
	}
}

func TestWhoMayCall(t *testing.T) {
	r := device()
	for _, tt := range []struct {
		uid      uint32
		contract string
		want     bool
	}{
		{10, "ashlar.dataplane.v1", true},
		{10, "ashlar.rib.v1", false},       // its own, but no edge
		{11, "ashlar.rib.v1", false},       // a member without the edge
		{12, "ashlar.dataplane.v1", false}, // a stranger
	} {
		if got := r.MayCall(tt.uid, tt.contract); got != tt.want {
			t.Errorf("uid %d calling %s: %t", tt.uid, tt.contract, got)
		}
	}
}

func TestProviders(t *testing.T) {
	r := device()
	if c, ok := r.Provider("ashlar.dataplane.v1"); !ok || c.Name != "dataplane" {
		t.Errorf("got %v, %t", c, ok)
	}
	if _, ok := r.Provider("ashlar.lifecycle.v1"); ok {
		t.Error("a contract that everybody serves has no single provider")
	}
	if got := r.Providers("ashlar.lifecycle.v1"); len(got) != 2 {
		t.Errorf("%d providers of the lifecycle, want 2", len(got))
	}
	if _, ok := r.ByName("bgp"); ok {
		t.Error("found a component that is not there")
	}
}
