// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"
	"slices"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

// The configuration is stored in rows: one for each object, one for each list entry above objects (its keys
// are all it says), one for each leaf that has no owner any more. Which rows a tree has follows from the
// tree and the patterns alone.

// rowChanges are the rows that a change writes and drops.
func rowChanges(changes *tree.Changes, objects []tree.Object, orphans []schema.Path) []store.Change {
	rows := make([]store.Change, 0, len(objects))
	for _, o := range objects {
		rows = append(rows, store.Change{
			Path: o.Path.GNMI(), Old: changes.Old.JSONAt(o.Path), New: changes.New.JSONAt(o.Path),
		})
	}
	for _, path := range orphans {
		node := path[len(path)-1].Node
		switch {
		case !node.IsKey() && node.Mirror() != nil:
			// It always equals the key.
		case node.IsKey():
			entry := path[:len(path)-1]
			if node == entry[len(entry)-1].Node.Keys()[0] {
				rows = append(rows, store.Change{
					Path: entry.GNMI(), Old: keysAt(changes.Old, entry), New: keysAt(changes.New, entry),
				})
			}
		default:
			rows = append(rows, store.Change{
				Path: path.GNMI(), Old: changes.Old.JSONAt(path), New: changes.New.JSONAt(path),
			})
		}
	}
	return rows
}

// keysAt is a list entry's keys as JSON, nil when the tree has no such entry.
func keysAt(t *tree.Tree, entry schema.Path) []byte {
	step := entry[len(entry)-1]
	first := append(slices.Clone(entry), schema.Step{Node: step.Node.Keys()[0]})
	if _, there := (tree.View{t}).Lookup(first); !there {
		return nil
	}
	out := []byte{'{'}
	for i, key := range step.Keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%q:", step.Node.Keys()[i].Name())
		out = key.Value.AppendJSON(out, schema.JSONIETF)
	}
	return append(out, '}')
}

// allRows are the rows of a whole tree.
func allRows(model *schema.Model, t *tree.Tree, patterns []schema.Path) []store.Change {
	changes := tree.Diff(tree.NewConfig(model), t)
	objects, orphans := changes.Objects(patterns)
	return rowChanges(changes, objects, orphans)
}

// build makes a tree of rows: outer ones first, so that a list's entries come before what is in them.
func build(model *schema.Model, rows []store.Object) (*tree.Tree, error) {
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b store.Object) int { return len(a.Path.GetElem()) - len(b.Path.GetElem()) })
	edit := tree.NewConfig(model).Edit(time.Now())
	for _, row := range sorted {
		value := &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: row.JSON}}
		if err := edit.Update(row.Path, value); err != nil {
			return nil, fmt.Errorf("a stored object does not fit the model: %w", err)
		}
	}
	t, _, err := edit.Commit()
	if err != nil {
		return nil, fmt.Errorf("the stored objects do not fit together: %w", err)
	}
	return t, nil
}
