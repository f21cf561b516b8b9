// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
)

// load parses the modules of a directory and gives the top nodes of all of them.
func load(source fs.FS) ([]*yang.Entry, error) {
	set := yang.NewModules()
	files, err := fs.Glob(source, "*.yang")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := fs.ReadFile(source, file)
		if err != nil {
			return nil, err
		}
		if err := set.Parse(string(text), file); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, errors.New("no YANG files there")
	}
	if errs := set.Process(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var top []*yang.Entry
	for _, name := range slices.Sorted(maps.Keys(set.Modules)) {
		if strings.Contains(name, "@") {
			continue // the same module again, with its revision
		}
		dir := yang.ToEntry(set.Modules[name]).Dir
		for _, child := range slices.Sorted(maps.Keys(dir)) {
			top = append(top, dir[child])
		}
	}
	return top, nil
}

// moduleOf is the module that a node belongs to.
func moduleOf(e *yang.Entry) string {
	name, err := e.InstantiatingModule()
	if err != nil {
		return fmt.Sprintf("unknown (%v)", err)
	}
	return name
}
