// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
)

// types compares two types. Ours may have fewer values of an enumeration and fewer identities, never others.
func (c *checker) types(path string, ours, theirs *yang.YangType) {
	c.compare(path, "type", ours.Kind.String(), theirs.Kind.String())
	if ours.Kind != theirs.Kind {
		return
	}
	c.compare(path, "type's name", ours.Name, theirs.Name)
	c.compare(path, "range", ours.Range.String(), theirs.Range.String())
	c.compare(path, "fraction digits", ours.FractionDigits, theirs.FractionDigits)
	c.compare(path, "leafref", unprefixed(ours.Path), unprefixed(theirs.Path))
	c.compare(path, "require-instance", !ours.OptionalInstance, !theirs.OptionalInstance)
	switch ours.Kind {
	case yang.Yenum:
		for _, name := range ours.Enum.Names() {
			if !theirs.Enum.IsDefined(name) {
				c.find(path, "enum", name, strings.Join(theirs.Enum.Names(), " "))
			}
		}
	case yang.Yidentityref:
		c.compare(path, "base", ours.IdentityBase.Name, theirs.IdentityBase.Name)
		c.identity(path, ours.IdentityBase, theirs.IdentityBase)
	case yang.Ystring:
		c.strings(path, ours, theirs)
	case yang.Yunion:
		c.compare(path, "members of the union", len(ours.Type), len(theirs.Type))
		for i := range min(len(ours.Type), len(theirs.Type)) {
			c.types(path, ours.Type[i], theirs.Type[i])
		}
	}
}

func (c *checker) identity(path string, ours, theirs *yang.Identity) {
	known := map[string]bool{}
	for _, v := range theirs.Values {
		known[v.Name] = true
	}
	for _, v := range ours.Values {
		module := yang.RootNode(v).Name
		switch {
		case !known[v.Name]:
			c.find(path, "identity", v.Name, "not there")
		case !c.identities[v.Name][module]:
			c.find(path, "module of identity "+v.Name, module, fmt.Sprint(c.identities[v.Name]))
		}
	}
}

// unprefixed takes the prefixes out of a leafref's path.
func unprefixed(path string) string {
	return regexp.MustCompile(`[A-Za-z0-9_.-]+:`).ReplaceAllString(path, "")
}

// strings compares which of many samples the two types take. The patterns themselves differ: ours are our own.
func (c *checker) strings(path string, ours, theirs *yang.YangType) {
	mine, err := accepts(ours)
	if err != nil {
		c.find(path, "pattern", err, "fine")
		return
	}
	other, err := accepts(theirs)
	if err != nil {
		c.find(path, "pattern", "fine", err)
		return
	}
	for _, s := range samples() {
		if a, b := mine(s), other(s); a != b {
			c.find(path, fmt.Sprintf("taking %q", s), a, b)
			return
		}
	}
}

func accepts(t *yang.YangType) (func(string) bool, error) {
	var all []*regexp.Regexp
	for _, p := range t.Pattern {
		re, err := regexp.Compile("^(?:" + p + ")$")
		if err != nil {
			return nil, err
		}
		all = append(all, re)
	}
	return func(s string) bool {
		for _, re := range all {
			if !re.MatchString(s) {
				return false
			}
		}
		return len(t.Length) == 0 || within(t.Length, uint64(len([]rune(s))))
	}, nil
}

func within(r yang.YangRange, n uint64) bool {
	for _, part := range r {
		if !yang.FromUint(n).Less(part.Min) && !part.Max.Less(yang.FromUint(n)) {
			return true
		}
	}
	return false
}
