// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Objects are the program and its maps in the kernel.
type Objects struct {
	Program    *ebpf.Program
	Forwarding *ebpf.Map
	Shadows    *ebpf.Map
	Counters   *ebpf.Map
}

// Maps by the names they are pinned under.
func (o *Objects) Maps() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{
		routerMapForwarding: o.Forwarding, routerMapShadows: o.Shadows, routerMapCounters: o.Counters,
	}
}

// SetMap stores a map under one of the names that Maps has.
func (o *Objects) SetMap(name string, m *ebpf.Map) {
	switch name {
	case routerMapForwarding:
		o.Forwarding = m
	case routerMapShadows:
		o.Shadows = m
	case routerMapCounters:
		o.Counters = m
	}
}

// Close closes what is open.
func (o *Objects) Close() error {
	var errs []error
	for _, c := range []io.Closer{o.Program, o.Forwarding, o.Shadows, o.Counters} {
		errs = append(errs, c.Close()) // closing nil is allowed
	}
	return errors.Join(errs...)
}

// ProgramHash identifies the program that this binary carries.
func ProgramHash() [32]byte { return sha256.Sum256(_RouterBytes) }

// spec is the object with its counters sized for this machine.
func spec() (*ebpf.CollectionSpec, error) {
	s, err := loadRouter()
	if err != nil {
		return nil, err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	s.Maps[routerMapCounters].MaxEntries = uint32(cpus)
	return s, nil
}

// LayoutHash identifies the layout of the maps: equal hashes mean that the memory of one program can be used
// by the other. It covers every field's name, place and size, and every shared constant.
func LayoutHash() (string, error) {
	s, err := loadRouter()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range []string{routerMapForwarding, routerMapShadows, routerMapCounters} {
		m := s.Maps[name]
		fmt.Fprintf(h, "map %s %v %d %d %d\n", name, m.Type, m.KeySize, m.ValueSize, m.Flags)
	}
	for _, name := range layoutStructs {
		var t *btf.Struct
		if err := s.Types.TypeByName(name, &t); err != nil {
			return "", fmt.Errorf("layout of struct %s: %w", name, err)
		}
		for _, m := range t.Members {
			size, err := btf.Sizeof(m.Type)
			if err != nil {
				return "", fmt.Errorf("layout of struct %s: %w", name, err)
			}
			fmt.Fprintf(h, "%s.%s %d %d\n", name, m.Name, m.Offset, size)
		}
	}
	for _, name := range layoutEnums {
		var t *btf.Enum
		if err := s.Types.TypeByName(name, &t); err != nil {
			return "", fmt.Errorf("layout of enum %s: %w", name, err)
		}
		for _, v := range t.Values {
			fmt.Fprintf(h, "%s.%s %d\n", name, v.Name, v.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

var (
	layoutStructs = []string{"tables", "shadow", "cpu_counters", "control", "port", "adjacency", "header", "line", "port_counters", "next_hop_counters"}
	layoutEnums   = []string{"limit", "reason", "action", "ref_kind", "port_flag", "adjacency_flag", "group_bits"}
)

// Load puts the program into the kernel with the maps given, making those that are nil.
func Load(have *Objects) (*Objects, error) {
	s, err := spec()
	if err != nil {
		return nil, err
	}
	replace := map[string]*ebpf.Map{}
	for name, m := range have.Maps() {
		if m != nil {
			replace[name] = m
		}
	}
	var got routerObjects
	if err := s.LoadAndAssign(&got, &ebpf.CollectionOptions{MapReplacements: replace}); err != nil {
		return nil, fmt.Errorf("load the forwarding program: %w", err)
	}
	return &Objects{got.Router, got.Forwarding, got.Shadows, got.Counters}, nil
}

// Map maps the maps into this process.
func (o *Objects) Map() (*Memory, error) {
	fds := []*ebpf.Map{o.Forwarding, o.Shadows, o.Counters}
	cpus := int(o.Counters.MaxEntries())
	if n, err := ebpf.PossibleCPU(); err != nil || n != cpus {
		return nil, fmt.Errorf("counters are for %d CPUs, the machine has %d: %w", cpus, n, err)
	}
	if i := slices.IndexFunc(fds, func(m *ebpf.Map) bool { return m.Flags()&unix.BPF_F_MMAPABLE == 0 }); i >= 0 {
		return nil, fmt.Errorf("map %v cannot be mapped", fds[i])
	}
	return mapMemory(func(i int) (int, int) { return fds[i].FD(), unix.MAP_SHARED }, cpus)
}
