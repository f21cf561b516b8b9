// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
)

// maxSample is how many items an output shows as text.
const maxSample = 1000

// Output is one kind of thing that a service writes, such as the routes of a routing table, in a form that two
// versions can compare however many items there are. It is not safe for concurrent use.
type Output struct {
	name   string
	items  uint64
	sum    [4]uint64
	sample []string
	line   []byte
}

// NewOutput returns an output without items. The name is for the operator and the same in all versions.
func NewOutput(name string) *Output { return &Output{name: name} }

// Add takes an item as one line of text. Lines may come in any order; equal ones count as often as they are added.
func (o *Output) Add(line string) {
	o.line = append(o.line[:0], line...)
	digest := sha256.Sum256(o.line)
	// The sum modulo 2^256 is the same in any order, and unlike an exclusive or it counts what is there twice.
	var carry uint64
	for i := range o.sum {
		o.sum[i], carry = bits.Add64(o.sum[i], binary.LittleEndian.Uint64(digest[8*i:]), carry)
	}
	if o.items++; o.items <= maxSample {
		o.sample = append(o.sample, line)
	} else {
		o.sample = nil
	}
}

// Items is how many items were added.
func (o *Output) Items() uint64 { return o.items }

// Digest is the same for two outputs with the same items.
func (o *Output) Digest() [sha256.Size]byte {
	var out [sha256.Size]byte
	for i, word := range o.sum {
		binary.LittleEndian.PutUint64(out[8*i:], word)
	}
	return out
}

// Sample is all items, sorted, when they are few enough to show, else nothing.
func (o *Output) Sample() []string { return slices.Sorted(slices.Values(o.sample)) }

func (o *Output) wire() *lifecyclev1.Output {
	digest := o.Digest()
	return &lifecyclev1.Output{Name: o.name, Items: o.items, Digest: digest[:], Sample: o.Sample()}
}
