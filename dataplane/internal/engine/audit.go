// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"sync/atomic"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// AuditStep compares one 256th of what was programmed with what packets see, and mends what differs. An
// audit is finished when every part had its turn. It returns the number of things mended.
func (e *Engine) AuditStep() (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.v4.Dirty() || e.v6.Dirty() {
		// A refused batch left nodes that must be looked at again.
		if err := e.transact(func(*transaction) error { return nil }); err != nil {
			return 0, err
		}
	}
	octet := byte(e.auditCursor)
	damaged := e.auditPage(int(octet)) + e.auditAdjacencies(octet)
	live := e.memory.Header(e.header)
	if unit, _ := e.memory.Generation(); unit != e.header {
		damaged++
	}
	_, d4 := e.v4.Audit(e.memory, octet, &live.V4)
	_, d6 := e.v6.Audit(e.memory, octet, &live.V6)
	rebuild := d4+d6 > 0 || live.Groups[octet] != e.groups.pages[octet].unit || e.headerDiffers(live)
	if rebuild {
		damaged += max(1, d4+d6)
		if err := e.transact(func(t *transaction) error { t.header = true; return nil }); err != nil {
			return 0, err
		}
	}
	e.repairs += uint64(damaged)
	if e.auditCursor++; e.auditCursor == 256 {
		e.auditCursor = 0
		e.audits++
	}
	return damaged, nil
}

func (e *Engine) headerDiffers(h *tables.Header) bool {
	return h.DefaultV4 != uint32(e.roots[0].Default) || h.DefaultV6 != uint32(e.roots[1].Default) ||
		h.Sequence != e.sequence || h.Programmer != e.synced ||
		e.memory.Shadow.Blocks[e.header] != e.roots[0].Shadow || e.memory.Shadow.Blocks[e.header+1] != e.roots[1].Shadow
}

// auditPage mends the words, buckets and shadows of one page of groups in place.
func (e *Engine) auditPage(i int) (damaged int) {
	p := e.groups.pages[i]
	if p.unit == 0 {
		return 0
	}
	words, infos := e.memory.GroupPage(p.unit), e.memory.ShadowWords(p.shadow, tables.GroupsPerPage)
	if e.memory.Shadow.Blocks[p.unit] != p.shadow {
		e.memory.Shadow.Blocks[p.unit] = p.shadow
		damaged++
	}
	for j := range words {
		g := e.groups.slots[i*tables.GroupsPerPage+j]
		word, info := uint64(0), uint32(0)
		if g != nil {
			damaged += e.auditGroup(g)
			word, info = g.word(), g.info
		}
		if atomic.LoadUint64(&words[j]) != word {
			atomic.StoreUint64(&words[j], word)
			damaged++
		}
		if infos[j] != info {
			infos[j] = info
			damaged++
		}
	}
	return damaged
}

func (e *Engine) auditGroup(g *group) (damaged int) {
	want := make([]byte, infoSize(len(g.Hops)))
	g.encode(want)
	if have := e.memory.ShadowBytes(g.info, len(want)); !bytes.Equal(have, want) {
		copy(have, want)
		damaged++
	}
	if g.log == 0 {
		return damaged
	}
	buckets := e.memory.Words32(g.buckets*uint32(tables.UnitBytes), 1<<g.log)
	for b := range buckets {
		if w := g.bucket(b); atomic.LoadUint32(&buckets[b]) != w {
			atomic.StoreUint32(&buckets[b], w)
			damaged++
		}
	}
	return damaged
}

// auditAdjacencies looks at the next hops whose counter falls into this step. A damaged adjacency is replaced,
// not written over: packets read it meanwhile.
func (e *Engine) auditAdjacencies(octet byte) (damaged int) {
	for _, h := range e.hops.byKey {
		if byte(h.counter) != octet || h.adjacency == 0 || e.memory.Tables.Adjacencies[h.adjacency] == h.content {
			continue
		}
		want := h.content
		e.hops.point(h, nil)
		e.hops.point(h, &want)
		for slot := range h.groups {
			e.groups.repoint(slot)
		}
		poke(e.reclaim)
		damaged++
	}
	return damaged
}
