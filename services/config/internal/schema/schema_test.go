// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"sync"
	"testing"
	"testing/fstest"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/yang"
)

var model = sync.OnceValue(func() *schema.Model {
	m, err := schema.Load(yang.Files())
	if err != nil {
		panic(err)
	}
	return m
})

// load compiles the body of a module "t" with the prefix "t".
func load(t testing.TB, body string) (*schema.Model, error) {
	t.Helper()
	return schema.Load(fstest.MapFS{"t.yang": &fstest.MapFile{Data: []byte(
		"module t { namespace \"urn:t\"; prefix t; revision 2020-01-01; revision 2021-01-01; " + body + " }")}})
}

// leaf is the leaf /x of a module with the given type.
func leaf(t testing.TB, typ string) *schema.Node {
	t.Helper()
	m, err := load(t, "identity base; identity one { base base; } identity two { base one; } leaf x { type "+typ+" }")
	if err != nil {
		t.Fatal(err)
	}
	return m.Root().Child("x")
}
