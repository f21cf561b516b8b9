// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import "net/netip"

// Slot is one prefix as the dataplane should have it, was told and acknowledged. It is meant to be
// embedded in the owner's own record of the prefix.
type Slot struct {
	prefix netip.Prefix
	want   *Group // nil: not there
	sent   *Group // last sent in this session
	acked  *Group // last acknowledged, of any session
	seq    uint64

	decisions uint32
	flying    int32 // batches in flight that name it
	queued    bool
	confirmed bool // acked is of this session
	draining  bool // nothing wished, something left
	urgent    bool
	force     bool // send even when nothing differs
	refused   bool // Outbox.refusals says why
}

// Init names the prefix. It is called once, before anything else.
func (s *Slot) Init(prefix netip.Prefix) { s.prefix = prefix }

// Prefix is the slot's prefix.
func (s *Slot) Prefix() netip.Prefix { return s.prefix }

// Wanted is the group that the prefix should use; nil when it should not be there.
func (s *Slot) Wanted() *Group { return s.want }

// Decisions counts how often the dataplane acknowledged or refused the prefix. It wraps.
func (s *Slot) Decisions() uint32 { return s.decisions }

// Installed reports whether the dataplane acknowledged exactly what is wished.
func (s *Slot) Installed() bool {
	return s.want != nil && s.acked == s.want && s.want.acked == s.want.version && !s.refused
}

// Clean reports whether nothing of the prefix is wished, on its way or acknowledged.
func (s *Slot) Clean() bool {
	return s.want == nil && s.sent == nil && s.acked == nil && s.flying == 0
}
