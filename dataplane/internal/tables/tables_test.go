// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/btf"
)

// TestLayout compares Go's mirror with what the C compiler laid out, field by field.
func TestLayout(t *testing.T) {
	s, err := loadRouter()
	if err != nil {
		t.Fatal(err)
	}
	for name, mirror := range map[string]reflect.Type{
		"line": reflect.TypeFor[Line](), "header": reflect.TypeFor[Header](), "control": reflect.TypeFor[Control](),
		"port": reflect.TypeFor[Port](), "adjacency": reflect.TypeFor[Adjacency](), "tables": reflect.TypeFor[Tables](),
		"shadow": reflect.TypeFor[Shadow](), "cpu_counters": reflect.TypeFor[CPUCounters](),
		"port_counters": reflect.TypeFor[PortCounters](), "next_hop_counters": reflect.TypeFor[NextHopCounters](),
	} {
		var c *btf.Struct
		if err := s.Types.TypeByName(name, &c); err != nil {
			t.Fatal(err)
		}
		if uintptr(c.Size) != mirror.Size() {
			t.Errorf("struct %s has %d bytes, Go's mirror %d", name, c.Size, mirror.Size())
		}
		fields := map[string]uintptr{}
		for i := range mirror.NumField() {
			fields[strings.ToLower(mirror.Field(i).Name)] = mirror.Field(i).Offset
		}
		for _, m := range c.Members {
			at, ok := fields[strings.ReplaceAll(m.Name, "_", "")]
			if !ok || at != uintptr(m.Offset.Bytes()) {
				t.Errorf("%s.%s is at %d, in Go's mirror at %d (%v)", name, m.Name, m.Offset.Bytes(), at, ok)
			}
		}
	}
}

// TestSizes are what the code relies on beyond what it is given.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		desc string
		ok   bool
	}{
		{"a line is one unit", unsafe.Sizeof(Line{}) == uintptr(UnitBytes)},
		{"a port is two words", unsafe.Sizeof(Port{}) == 16},
		{"control is cache lines", unsafe.Sizeof(Control{})%64 == 0},
		{"the arena begins on a cache line", unsafe.Offsetof(Tables{}.Arena)%64 == 0},
		{"ports of a CPU do not share cache lines", unsafe.Sizeof(PortCounters{}) == 64 && unsafe.Offsetof(CPUCounters{}.Ports)%64 == 0},
		{"CPUs do not share cache lines", unsafe.Sizeof(CPUCounters{})%64 == 0},
		{"a header fits behind any unit", unsafe.Sizeof(Header{}) <= uintptr(routerLimitARENA_SLACK)},
		{"a page of references fits behind any unit", uintptr(routerLimitARENA_SLACK) >= 64+255*4+4},
		{"members fit their byte in a bucket", MaxMembers < 255},
		{"units fit beside the kind", ArenaUnits <= 1<<KindShift},
		{"slots fit 16 bits", MaxGroups <= 1<<16},
	} {
		if !c.ok {
			t.Error(c.desc + ": not so")
		}
	}
}

// TestReasonsHaveNames: every counter has one, and no two share it.
func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := ReasonForwarded; r < ReasonCount; r++ {
		if name := r.String(); name == "" || seen[name] {
			t.Errorf("reason %d is named %q", r, name)
		}
		seen[r.String()] = true
	}
	if ReasonCount.String() != "" || !ReasonFirstDrop.Dropped() || (ReasonFirstDrop - 1).Dropped() {
		t.Error("the border between punts and drops is wrong")
	}
}

func TestLayoutHashIsStable(t *testing.T) {
	a, err := LayoutHash()
	if err != nil {
		t.Fatal(err)
	}
	b, err := LayoutHash()
	if err != nil || a != b || len(a) != 16 {
		t.Errorf("%q, %q, %v", a, b, err)
	}
}
