// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"

	"github.com/ashlar-nos/ashlar/services/config/internal/oc"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files")

// sample is a value that a leaf takes, as a client would write it.
func sample(t *testing.T, n *schema.Node) schema.Value {
	t.Helper()
	candidates := append([]string{
		"192.0.2.1", "2001:db8::1", "192.0.2.0/24", "2001:db8::/32", "02:00:00:00:00:01", "2026-03-01T12:00:00Z", "ge0", "DEFAULT", "1", "68", "true",
	}, n.Type().Names()...)
	for _, member := range n.Type().Members() {
		candidates = append(candidates, member.Names()...)
	}
	if n.Type().Kind() == schema.String && n.Type().Name() == "string" {
		candidates = []string{"some text"}
	}
	for _, text := range candidates {
		if v, err := n.DecodeText(n.Path(), text); err == nil {
			return v
		}
	}
	t.Fatalf("no sample for %s of type %s", n.Path(), n.Type().Name())
	return schema.Value{}
}

// everyLeaf visits all leaves of the model, each at a path with keys out of samples.
func everyLeaf(t *testing.T, n *schema.Node, at schema.Path, visit func(schema.Path, schema.Value)) {
	for _, child := range n.Children() {
		step := schema.Step{Node: child}
		for _, key := range child.Keys() {
			step.Keys = append(step.Keys, schema.Key{Value: sample(t, key)})
		}
		path := append(at[:len(at):len(at)], step)
		switch {
		case child.IsLeaf():
			visit(path, valueAt(t, path, child))
		default:
			everyLeaf(t, child, path, visit)
		}
	}
}

// valueAt is the sample, or what the key in the path demands.
func valueAt(t *testing.T, path schema.Path, n *schema.Node) schema.Value {
	if r := n.Reference(); r != nil && r.Target().Path() == "/interfaces/interface/name" {
		return sample(t, r.Target())
	}
	if key := n.Mirror(); key != nil && !n.IsKey() {
		n = key
	}
	if n.IsKey() {
		for _, s := range path {
			if s.Node == n.Parent() {
				return s.Keys[n.Index()].Value
			}
		}
	}
	return sample(t, n)
}

// TestEveryLeaf writes every leaf of the model, each as a client or publisher would, and reads all of it back as one document,
// which must be the golden one, and which ygot's generated code must take as valid.
func TestEveryLeaf(t *testing.T) {
	edit, state := tree.NewConfig(model()).Edit(at(1)), tree.NewState(model()).EditState()
	everyLeaf(t, model().Root(), nil, func(p schema.Path, v schema.Value) {
		n := p.Node(model())
		if n.Config() {
			if err := edit.Update(p.GNMI(), v.TypedValue(schema.JSONIETF)); err != nil {
				t.Error(err)
			}
			return
		}
		notification := &gnmi.Notification{Update: []*gnmi.Update{{Path: p.GNMI(), Val: v.TypedValue(schema.Proto)}}}
		if errs := state.Put(ports, notification); errs != nil {
			t.Error(errs)
		}
	})
	config, _, err := edit.Commit()
	if err != nil {
		t.Fatal(err)
	}
	states, _ := state.Commit()
	doc, _ := tree.View{config, states}.RenderJSON(nil, tree.All, schema.JSONIETF)
	golden(t, "testdata/every-leaf.json", doc)
	device := &oc.Device{}
	if err := oc.Unmarshal(doc, device); err != nil {
		t.Fatalf("ygot cannot read it: %v", err)
	}
	if err := device.Validate(); err != nil {
		t.Errorf("ygot finds it invalid: %v", err)
	}
	ours, _ := tree.View{config}.RenderJSON(nil, tree.OnlyConfig, schema.JSONIETF)
	again, err := tree.FromJSON(model(), emit(t, ours), at(1))
	if err != nil {
		t.Fatal(err)
	}
	if !tree.Diff(config, again).Empty() && !bytes.Equal(ours, again.JSON()) {
		t.Errorf("what ygot writes reads as\n%s\nwant\n%s", again.JSON(), ours)
	}
}

// emit takes a document through ygot's structs.
func emit(t *testing.T, doc []byte) []byte {
	t.Helper()
	device := &oc.Device{}
	if err := oc.Unmarshal(doc, device); err != nil {
		t.Fatalf("ygot cannot read %s: %v", doc, err)
	}
	text, err := ygot.EmitJSON(device, &ygot.EmitJSONConfig{Format: ygot.RFC7951, RFC7951Config: &ygot.RFC7951JSONConfig{AppendModuleName: true}})
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

func golden(t *testing.T, file string, doc []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, doc, "", " "); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	got.WriteByte('\n')
	if *rewrite {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs (go test -rewrite writes it):\n%s", file, got.Bytes())
	}
}
