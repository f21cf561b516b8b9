// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/config/yang"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// model is compiled once for all tests.
var model = sync.OnceValue(func() *schema.Model {
	m, err := schema.Load(yang.Files())
	if err != nil {
		panic(err)
	}
	return m
})

func ietf(text string) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(text)}}
}

// at is the time of all edits unless a test cares.
func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// op is one operation: "delete /path", "replace /path <json>" or "update /path <json>".
func apply(t *tree.Tree, when time.Time, ops ...string) (*tree.Tree, *tree.Changes, error) {
	req := &gnmi.SetRequest{}
	for _, op := range ops {
		verb, rest, _ := strings.Cut(op, " ")
		path, value, _ := strings.Cut(rest, " ")
		u := &gnmi.Update{Path: gpath.MustParse(path), Val: ietf(value)}
		switch verb {
		case "delete":
			req.Delete = append(req.Delete, u.Path)
		case "replace":
			req.Replace = append(req.Replace, u)
		case "update":
			req.Update = append(req.Update, u)
		}
	}
	e := t.Edit(when)
	if err := e.Apply(req); err != nil {
		return nil, nil, err
	}
	return e.Commit()
}

func must(t testing.TB, base *tree.Tree, ops ...string) *tree.Tree {
	t.Helper()
	next, _, err := apply(base, at(1), ops...)
	if err != nil {
		t.Fatalf("%v: %v", ops, err)
	}
	return next
}

// refusal applies operations that must fail and gives the error.
func refusal(t *testing.T, base *tree.Tree, ops ...string) *schema.Error {
	t.Helper()
	before := string(base.JSON())
	_, _, err := apply(base, at(1), ops...)
	var refused *schema.Error
	if !errors.As(err, &refused) {
		t.Fatalf("%v: got %v, want a refusal", ops, err)
	}
	if string(base.JSON()) != before {
		t.Fatalf("%v: a refused edit changed the tree", ops)
	}
	return refused
}

func resolve(t testing.TB, path string) schema.Path {
	t.Helper()
	p, err := model().Resolve(gpath.MustParse(path))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func value(t *testing.T, tr *tree.Tree, path string) string {
	t.Helper()
	l, ok := tree.View{tr}.Lookup(resolve(t, path))
	if !ok {
		return "<absent>"
	}
	return l.Value.String()
}

func changed(c *tree.Changes) []string {
	var out []string
	for _, l := range c.Leaves() {
		out = append(out, l.Path.String()+": "+l.Old.String()+" → "+l.New.String())
	}
	return out
}
