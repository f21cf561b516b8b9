// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openconfig/goyang/pkg/yang"
)

// models is where the device's YANG modules are.
const models = "../../services/config/yang"

// configurable returns the schema path of every leaf that can be set, without modules' names, sorted.
// The keys of lists are left out: they are references to the leaves in config.
func configurable(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(models, "*.yang"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no models in %s: %v", models, err)
	}
	modules := yang.NewModules()
	for _, file := range files {
		if err := modules.Read(file); err != nil {
			t.Fatal(err)
		}
	}
	if errs := modules.Process(); len(errs) > 0 {
		t.Fatal(errs)
	}
	var leaves []string
	for name, module := range modules.Modules {
		if strings.Contains(name, "@") {
			continue // the same module by name and revision
		}
		root := yang.ToEntry(module)
		for _, child := range root.Dir {
			leaves = append(leaves, settable(child, "")...)
		}
	}
	slices.Sort(leaves)
	return slices.Compact(leaves)
}

func settable(entry *yang.Entry, above string) (leaves []string) {
	path := above + "/" + entry.Name
	switch {
	case entry.ReadOnly() || entry.RPC != nil || entry.Kind == yang.NotificationEntry:
		return nil
	case entry.IsLeaf() || entry.IsLeafList():
		if entry.Parent.IsList() {
			return nil
		}
		return []string{path}
	}
	for _, child := range entry.Dir {
		leaves = append(leaves, settable(child, path)...)
	}
	return leaves
}
