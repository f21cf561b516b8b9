// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
	"github.com/openconfig/ygot/exampleoc"
)

// finding is a difference that nobody meant.
type finding struct{ path, attribute, ours, theirs string }

func (f finding) String() string {
	return fmt.Sprintf("%s: %s is %s, OpenConfig's is %s", f.path, f.attribute, f.ours, f.theirs)
}

type result struct {
	nodes    int
	findings []finding
}

// checker walks our tree beside OpenConfig's.
type checker struct {
	result
	modules    map[string]string
	identities map[string]map[string]bool
	expected   []deviation
	used       map[int]bool
}

func check(ours fs.FS, expected []deviation) (result, error) {
	top, err := load(ours)
	if err != nil {
		return result{}, fmt.Errorf("reading our modules: %w", err)
	}
	theirs, err := exampleoc.Schema()
	if err != nil {
		return result{}, fmt.Errorf("reading OpenConfig's schema: %w", err)
	}
	c := &checker{modules: modules(), identities: identityModules(), expected: expected, used: map[int]bool{}}
	root := theirs.SchemaTree["Device"]
	for _, e := range top {
		c.node("/"+e.Name, e, root.Dir[e.Name], false)
	}
	for i, d := range expected {
		if !c.used[i] {
			c.findings = append(c.findings, finding{d.path, d.attribute, "as OpenConfig's", "listed as a deviation"})
		}
	}
	return c.result, nil
}

func (c *checker) find(path, attribute string, ours, theirs any) {
	for i, d := range c.expected {
		if d.path == path && d.attribute == attribute {
			c.used[i] = true
			return
		}
	}
	c.findings = append(c.findings, finding{path, attribute, fmt.Sprint(ours), fmt.Sprint(theirs)})
}

func (c *checker) compare(path, attribute string, ours, theirs any) {
	if ours != theirs {
		c.find(path, attribute, ours, theirs)
	}
}

// node compares a node and what is below. readOnly: OpenConfig's node is inside state.
func (c *checker) node(path string, ours, theirs *yang.Entry, readOnly bool) {
	if !strings.HasPrefix(moduleOf(ours), "openconfig-") {
		return
	}
	c.nodes++
	if theirs == nil {
		c.find(path, "path", "in "+moduleOf(ours), "not there")
		return
	}
	readOnly = readOnly || theirs.Config == yang.TSFalse
	c.compare(path, "kind", kind(ours), kind(theirs))
	c.compare(path, "keys", ours.Key, theirs.Key)
	c.compare(path, "read-only", ours.ReadOnly(), readOnly)
	c.compare(path, "presence", len(ours.Extra["presence"]) > 0, len(theirs.Extra["presence"]) > 0)
	if module, ok := c.modules[path]; ok {
		c.compare(path, "module", moduleOf(ours), module)
	}
	if ours.Type != nil && theirs.Type != nil {
		c.leaf(path, ours, theirs, readOnly)
	}
	for _, name := range slices.Sorted(maps.Keys(ours.Dir)) {
		c.node(path+"/"+name, ours.Dir[name], theirs.Dir[name], readOnly)
	}
}

func (c *checker) leaf(path string, ours, theirs *yang.Entry, readOnly bool) {
	if !readOnly {
		// What must be in state is the publishers' matter.
		c.compare(path, "mandatory", ours.Mandatory.Value(), theirs.Mandatory.Value())
	}
	mine, _ := ours.SingleDefaultValue()
	other, _ := theirs.SingleDefaultValue()
	c.compare(path, "default", mine, other)
	c.compare(path, "units", units(ours), units(theirs))
	c.types(path, ours.Type, theirs.Type)
}

func units(e *yang.Entry) string {
	if e.Units != "" {
		return e.Units
	}
	return e.Type.Units
}

func kind(e *yang.Entry) string {
	switch {
	case e.IsList():
		return "a list"
	case e.IsLeafList():
		return "a leaf-list"
	case e.IsLeaf():
		return "a leaf"
	case e.IsContainer():
		return "a container"
	}
	return "something else"
}
