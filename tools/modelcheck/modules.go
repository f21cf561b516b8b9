// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"
	"strings"

	"github.com/openconfig/ygot/exampleoc"
)

// modules finds the module of each schema path in the tags of the generated structs. They are compressed: of a
// configuration leaf and the state leaf that mirrors it only one is there, so the other is entered too.
func modules() map[string]string {
	out := map[string]string{}
	visit(reflect.TypeFor[exampleoc.Device](), "", out)
	return out
}

func visit(t reflect.Type, at string, out map[string]string) {
	for i := range t.NumField() {
		field := t.Field(i)
		paths := strings.Split(field.Tag.Get("path"), "|")
		names := strings.Split(field.Tag.Get("module"), "|")
		if field.Tag.Get("ygotAnnotation") != "" || field.Tag.Get("module") == "" {
			continue
		}
		for j, path := range paths {
			enter(at, strings.Split(strings.Trim(path, "/"), "/"), strings.Split(strings.Trim(names[j], "/"), "/"), out)
		}
		inner := field.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Map || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			visit(inner, at+"/"+strings.Trim(paths[0], "/"), out)
		}
	}
}

func enter(at string, path, names []string, out map[string]string) {
	for i, elem := range path {
		if at += "/" + elem; i < len(names) {
			out[at] = names[i]
		}
	}
	twins := map[string]string{"config": "state", "state": "config"}
	if len(path) == 2 && twins[path[0]] != "" {
		parent := strings.TrimSuffix(at, path[0]+"/"+path[1])
		twin := parent + twins[path[0]] + "/" + path[1]
		if _, ok := out[twin]; !ok {
			out[twin] = names[len(names)-1]
		}
	}
}

// identityModules are the modules that define an identity of a name.
func identityModules() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, values := range exampleoc.ΛEnum {
		for _, v := range values {
			if v.DefiningModule == "" {
				continue
			}
			if out[v.Name] == nil {
				out[v.Name] = map[string]bool{}
			}
			out[v.Name][v.DefiningModule] = true
		}
	}
	return out
}
