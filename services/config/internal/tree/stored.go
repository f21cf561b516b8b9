// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import "github.com/ashlar-nos/ashlar/services/config/internal/schema"

// JSONAt is what is set at and below one complete path, as one RFC 7951 value without defaults: what the commit keeps
// of an object in the store. nil when nothing is there.
func (t *Tree) JSONAt(p schema.Path) []byte {
	if !t.has(p) {
		return nil
	}
	doc, _ := renderer{view: View{t}, enc: schema.JSONIETF}.render(p)
	return doc
}
