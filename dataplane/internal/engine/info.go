// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// What a group was told, as the shadow keeps it: id (4 bytes), action, derived, number of hops (2), then for
// each hop the interface's name (16, zero-padded), the address (16), its length, three zero bytes, weight (4)
// and the index of its counters (4). Little endian.
const (
	infoHeader = 8
	infoHop    = 44
)

func infoSize(hops int) int { return infoHeader + hops*infoHop }

func (g *group) encode(b []byte) {
	clear(b)
	binary.LittleEndian.PutUint32(b, g.ID)
	b[4] = byte(g.Action)
	if g.derived {
		b[5] = 1
	}
	binary.LittleEndian.PutUint16(b[6:], uint16(len(g.Hops)))
	for i, h := range g.Hops {
		p := b[infoHeader+i*infoHop:]
		copy(p[:16], h.Interface)
		a := h.Address.AsSlice()
		copy(p[16:32], a)
		p[32] = byte(len(a))
		binary.LittleEndian.PutUint32(p[36:], h.Weight)
		if i < len(g.members) {
			binary.LittleEndian.PutUint32(p[40:], g.members[i].counter)
		}
	}
}

// writeID stores a new id in the shadow: one aligned word, which means something to readers only.
func (g *group) writeID(m *tables.Memory) {
	atomic.StoreUint32(&m.ShadowWords(g.info, 1)[0], g.ID)
}

// info is a decoded shadow of a group.
type info struct {
	Group
	derived  bool
	counters []uint32
}

// decodeInfo reads the shadow of a group; it trusts nothing.
func decodeInfo(m *tables.Memory, unit uint32) (info, error) {
	var x info
	bad := fmt.Errorf("engine: shadow unit %d holds no group", unit)
	if unit == 0 || int(unit) >= tables.ShadowUnits {
		return x, bad
	}
	b := m.ShadowBytes(unit, infoHeader)
	n := int(binary.LittleEndian.Uint16(b[6:]))
	if n > tables.MaxMembers || int(unit)*tables.ShadowUnitBytes+infoSize(n) > len(m.Shadow.Units) {
		return x, bad
	}
	x.ID, x.Action, x.derived = binary.LittleEndian.Uint32(b), Action(b[4]), b[5] == 1
	if x.Action < Forward || x.Action > Connected {
		return x, bad
	}
	b = m.ShadowBytes(unit, infoSize(n))
	for i := range n {
		p := b[infoHeader+i*infoHop:]
		name, _, _ := bytes.Cut(p[:16], []byte{0})
		h := Hop{Interface: string(name), Weight: binary.LittleEndian.Uint32(p[36:])}
		switch p[32] {
		case 4:
			h.Address = netip.AddrFrom4([4]byte(p[16:20]))
		case 16:
			h.Address = netip.AddrFrom16([16]byte(p[16:32]))
		case 0:
		default:
			return x, bad
		}
		x.Hops = append(x.Hops, h)
		x.counters = append(x.counters, binary.LittleEndian.Uint32(p[40:]))
	}
	return x, nil
}
