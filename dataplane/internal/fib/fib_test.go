// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"
	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// rig is a table with its memory, published the way a header publishes it.
type rig struct {
	space *Space
	table *Table
	root  Root
}

func newRig(t testing.TB, v6 bool) *rig {
	t.Helper()
	m, err := tables.NewMemory(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return &rig{space: NewSpace(m), table: NewTable(v6)}
}

func (r *rig) view() View { return View{r.space.Memory, r.root, r.table.v6} }

func (r *rig) publish(t interface{ Fatal(...any) }) {
	w := r.space.Writer()
	root, err := r.table.Build(w)
	if err != nil {
		t.Fatal(err)
	}
	r.root = root
	w.Commit()
	r.table.Commit()
	r.space.Release(r.space.TakeRetired())
}

func key(p netip.Prefix) []byte { return p.Addr().AsSlice() }

func anyPrefix(v6 bool) *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		// Few distinct octets make prefixes nest and collide.
		octet := rapid.SampledFrom([]byte{0, 1, 10, 127, 128, 192, 254, 255})
		if v6 {
			var a [16]byte
			for i := range a {
				a[i] = octet.Draw(t, "octet")
			}
			bits := rapid.IntRange(0, 128).Draw(t, "bits")
			return netip.PrefixFrom(netip.AddrFrom16(a), bits).Masked()
		}
		var a [4]byte
		for i := range a {
			a[i] = octet.Draw(t, "octet")
		}
		return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
	})
}

// check compares every answer of the blocks with a reference trie: at each prefix's edges and at random.
func (r *rig) check(t *rapid.T, ref *bart.Table[uint16]) {
	view := r.view()
	ask := func(a netip.Addr) {
		if !a.IsValid() {
			return
		}
		want, _ := ref.Lookup(a)
		got, err := view.Lookup(a.AsSlice())
		if err != nil || got != want {
			t.Fatalf("lookup %v: slot %d, %v; want %d", a, got, err, want)
		}
		if !r.table.v6 {
			return
		}
	}
	n := 0
	for p := range ref.All() {
		first := p.Addr()
		last := lastOf(p)
		for _, a := range []netip.Addr{first, first.Prev(), first.Next(), last, last.Next(), last.Prev()} {
			ask(a)
		}
		n++
	}
	for range 16 {
		ask(anyPrefix(r.table.v6).Draw(t, "probe").Addr())
	}
	seen := 0
	err := view.Walk(func(route Route) bool {
		seen++
		if s, ok := ref.Get(route.Prefix); !ok || s != route.Slot {
			t.Fatalf("walk gives %v to %d, want %d", route.Prefix, route.Slot, s)
		}
		return true
	})
	if err != nil || seen != n || r.table.Len(Programmed) != n {
		t.Fatalf("walk saw %d routes, table has %d, want %d (%v)", seen, r.table.Len(Programmed), n, err)
	}
	for o := range 256 {
		if _, bad := r.table.Audit(r.space.Memory, byte(o), &r.root.References); bad != 0 {
			t.Fatalf("audit finds %d damaged nodes below %d", bad, o)
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().AsSlice()
	for i := p.Bits(); i < len(a)*8; i++ {
		a[i/8] |= 1 << (7 - i%8)
	}
	l, _ := netip.AddrFromSlice(a)
	return l
}

func testAgainstReference(t *testing.T, v6 bool) {
	r := newRig(t, v6)
	rapid.Check(t, func(t *rapid.T) {
		r.space = NewSpace(r.space.Memory)
		r.table, r.root = NewTable(v6), Root{}
		ref := &bart.Table[uint16]{}
		t.Repeat(map[string]func(*rapid.T){
			"transaction": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "changes") {
					p := anyPrefix(v6).Draw(t, "prefix")
					if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
						r.table.Delete(key(p), p.Bits(), Programmed)
						ref.Delete(p)
						continue
					}
					slot := uint16(rapid.IntRange(1, 5).Draw(t, "slot"))
					r.table.Set(key(p), p.Bits(), Programmed, slot, false)
					ref.Insert(p, slot)
				}
				r.publish(t)
			},
			"aborted": func(t *rapid.T) {
				p := anyPrefix(v6).Draw(t, "prefix")
				old := r.table.Set(key(p), p.Bits(), Programmed, 9, false)
				w := r.space.Writer()
				if _, err := r.table.Build(w); err != nil {
					t.Fatal(err)
				}
				w.Abort()
				r.table.Abort()
				r.table.Undo(key(p), p.Bits(), Programmed, old)
				r.publish(t)
			},
			"withdraw all": func(t *rapid.T) {
				for p := range ref.All() {
					r.table.Delete(key(p), p.Bits(), Programmed)
				}
				ref = &bart.Table[uint16]{}
				r.publish(t)
				if used, _, shadow, _ := r.space.Usage(); used != tables.ReservedUnits || shadow != 1 {
					t.Fatalf("%d units and %d shadow units used by nothing", used, shadow)
				}
			},
			"adopt": func(t *rapid.T) {
				s := NewSpace(r.space.Memory)
				table, err := Adopt(s, r.view())
				if err != nil {
					t.Fatal(err)
				}
				if table.Dirty() {
					t.Fatal("adopted table wants to build again")
				}
				was, _, wasShadow, _ := r.space.Usage()
				is, _, isShadow, _ := s.Usage()
				if was != is || wasShadow != isShadow {
					t.Fatalf("adopted %d, %d units, want %d, %d", is, isShadow, was, wasShadow)
				}
				r.space, r.table = s, table
			},
			"": func(t *rapid.T) { r.check(t, ref) },
		})
	})
}

func TestV4AgainstReference(t *testing.T) { testAgainstReference(t, false) }
func TestV6AgainstReference(t *testing.T) { testAgainstReference(t, true) }

// TestDamageIsRepaired flips bits in used blocks: the audit sees each, and the next transaction mends it.
func TestDamageIsRepaired(t *testing.T) {
	r := newRig(t, false)
	rng := rand.New(rand.NewPCG(1, 2))
	ref := &bart.Table[uint16]{}
	for range 5000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rng.IntN(4)), byte(rng.Uint32()), byte(rng.Uint32())}), 17+rng.IntN(16)).Masked()
		s := uint16(1 + rng.IntN(40))
		r.table.Set(key(p), p.Bits(), Programmed, s, false)
		ref.Insert(p, s)
	}
	r.publish(t)
	for round := range 50 {
		unit := r.root.References[10] &^ tables.KindMask
		words := r.space.Memory.Words32(unit*64, 256)
		line := words[rng.IntN(4)] &^ tables.KindMask
		damage := r.space.Memory.Words32(line*64, 16)
		damage[rng.IntN(16)] ^= 1 << rng.IntN(32)
		if _, bad := r.table.Audit(r.space.Memory, 10, &r.root.References); bad == 0 {
			continue // the bit belongs to leaves that are not used
		}
		r.publish(t)
		if _, bad := r.table.Audit(r.space.Memory, 10, &r.root.References); bad != 0 {
			t.Fatalf("round %d: %d nodes still damaged", round, bad)
		}
	}
	for p, s := range ref.All() {
		want, _ := ref.Lookup(p.Addr())
		if got, err := r.view().Lookup(key(p)); err != nil || got != want {
			t.Fatalf("%v: %d, %v; want %d (route %d)", p, got, err, want, s)
		}
	}
}

// TestFullSpaceChangesNothing runs out of lines in the middle of a build.
func TestFullSpaceChangesNothing(t *testing.T) {
	r := newRig(t, false)
	p := netip.MustParsePrefix("192.0.2.0/24")
	r.table.Set(key(p), 24, Programmed, 7, false)
	r.publish(t)
	before, _, shadowBefore, _ := r.space.Usage()
	var hog []uint32
	for {
		u, ok := r.space.lines.Alloc(1)
		if !ok {
			break
		}
		hog = append(hog, u)
	}
	for _, u := range hog[:3] {
		r.space.lines.Free(u, 1)
	}
	r.table.Set([]byte{192, 0, 2, 128}, 32, Programmed, 8, false)
	w := r.space.Writer()
	_, err := r.table.Build(w)
	if err == nil || err.Error() != "table lines is full: limit 1048576" {
		t.Fatalf("error is %v", err)
	}
	w.Abort()
	r.table.Abort()
	r.table.Delete([]byte{192, 0, 2, 128}, 32, Programmed)
	for _, u := range hog[3:] {
		r.space.lines.Free(u, 1)
	}
	if got, err := r.view().Lookup([]byte{192, 0, 2, 128}); err != nil || got != 7 {
		t.Fatalf("lookup after refusal: %d, %v", got, err)
	}
	r.publish(t)
	if after, _, shadow, _ := r.space.Usage(); after != before || shadow != shadowBefore {
		t.Fatalf("%d units and %d shadow units used, want %d and %d", after, shadow, before, shadowBefore)
	}
}

// TestLongest asks the daemon's own copy.
func TestLongest(t *testing.T) {
	tb := NewTable(false)
	for i, s := range []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"} {
		p := netip.MustParsePrefix(s)
		tb.Set(key(p), p.Bits(), Programmed, uint16(i+1), false)
	}
	for _, c := range []struct {
		addr string
		bits int
		slot uint16
	}{{"11.0.0.1", 0, 1}, {"10.2.0.0", 8, 2}, {"10.1.0.0", 16, 3}, {"10.1.2.4", 24, 4}, {"10.1.2.3", 32, 5}} {
		if bits, slot := tb.Longest(netip.MustParseAddr(c.addr).AsSlice()); bits != c.bits || slot != c.slot {
			t.Errorf("%s: /%d to %d, want /%d to %d", c.addr, bits, slot, c.bits, c.slot)
		}
	}
}
