// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const models = "../../services/config/yang"

func TestModelsMatchOpenConfig(t *testing.T) {
	got, err := check(os.DirFS(models), deviations())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range got.findings {
		t.Error(f)
	}
	if got.nodes < 100 {
		t.Errorf("only %d nodes were compared", got.nodes)
	}
}

// TestDifferencesAreFound spoils one thing at a time.
func TestDifferencesAreFound(t *testing.T) {
	for _, test := range []struct{ file, old, new, want string }{
		{"openconfig-interfaces.yang", "leaf mtu {\n      type uint16;", "leaf mtu {\n      type uint32;", "config/mtu: type"},
		{"openconfig-interfaces.yang", "leaf ifindex", "leaf if-index", "if-index: path"},
		{"openconfig-interfaces.yang", "default \"true\"", "default \"false\"", "enabled: default"},
		{"openconfig-interfaces.yang", "enum TESTING { description", "enum TESTED { description", "admin-status: enum"},
		{"openconfig-interfaces.yang", "container state {\n        config false;", "container state {", "state: read-only"},
		{"openconfig-if-ip.yang", "range \"0..32\"", "range \"0..31\"", "prefix-length: range"},
		{"openconfig-if-ip.yang", "mandatory true", "mandatory false", "link-layer-address: mandatory"},
		{"openconfig-local-routing.yang", "identity DROP", "identity DISCARD", "next-hop: identity"},
		{"openconfig-inet-types.yang", "(25[0-5]|2[0-4]", "(26[0-5]|2[0-4]", "taking"},
		{"openconfig-types.yang", "nanoseconds\";", "seconds\";", "units"},
		{"openconfig-network-instance.yang", "key \"identifier name\"", "key \"name identifier\"", "keys"},
	} {
		files := fstest.MapFS{}
		entries, err := os.ReadDir(models)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(models + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			if e.Name() == test.file {
				if !strings.Contains(string(text), test.old) {
					t.Fatalf("%s has no %q any more", test.file, test.old)
				}
				text = []byte(strings.ReplaceAll(string(text), test.old, test.new))
			}
			files[e.Name()] = &fstest.MapFile{Data: text}
		}
		got, err := check(files, deviations())
		if err != nil {
			t.Fatalf("%s → %s: %v", test.old, test.new, err)
		}
		found := false
		for _, f := range got.findings {
			found = found || strings.Contains(f.String(), test.want)
		}
		if !found {
			t.Errorf("%q → %q: no finding with %q among %v", test.old, test.new, test.want, got.findings)
		}
	}
}
