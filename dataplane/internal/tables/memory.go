// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Memory is the mapped maps. It must be closed, and not be used after.
type Memory struct {
	Tables   *Tables
	Shadow   *Shadow
	Counters []CPUCounters // one for each possible CPU

	mapped [][]byte
}

// pages rounds a size up to whole pages, as mmap-able maps are.
func pages(size int) int {
	p := os.Getpagesize()
	return (size + p - 1) / p * p
}

// NewMemory makes memory that belongs to no map: for tests, and for measuring without a program.
func NewMemory(cpus int) (*Memory, error) {
	return mapMemory(func(int) (int, int) { return -1, unix.MAP_PRIVATE | unix.MAP_ANON }, cpus)
}

// mapMemory maps the three regions; source gives descriptor and flags of each.
func mapMemory(source func(i int) (fd, flags int), cpus int) (*Memory, error) {
	m := &Memory{}
	sizes := []int{int(unsafe.Sizeof(Tables{})), int(unsafe.Sizeof(Shadow{})), cpus * int(unsafe.Sizeof(CPUCounters{}))}
	for i, size := range sizes {
		fd, flags := source(i)
		b, err := unix.Mmap(fd, 0, pages(size), unix.PROT_READ|unix.PROT_WRITE, flags)
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("map region %d of the tables (%d bytes): %w", i, size, err)
		}
		m.mapped = append(m.mapped, b)
	}
	m.Tables = (*Tables)(unsafe.Pointer(&m.mapped[0][0]))
	m.Shadow = (*Shadow)(unsafe.Pointer(&m.mapped[1][0]))
	m.Counters = unsafe.Slice((*CPUCounters)(unsafe.Pointer(&m.mapped[2][0])), cpus)
	return m, nil
}

// Close unmaps the memory; the maps stay.
func (m *Memory) Close() {
	for _, b := range m.mapped {
		_ = unix.Munmap(b)
	}
	m.mapped = nil
}

// Generation is the live generation word: the header's unit and its sequence (modulo 2^32).
func (m *Memory) Generation() (unit, sequence uint32) {
	w := atomic.LoadUint64(&m.Tables.Control.Generation)
	return uint32(w), uint32(w >> 32)
}

// Flip makes the header at unit the live generation. Everything written before is visible to a packet that sees it.
func (m *Memory) Flip(unit uint32, sequence uint64) {
	atomic.StoreUint64(&m.Tables.Control.Generation, sequence<<32|uint64(unit))
}

// Header is the header at a unit. Unit 0 reads as an empty table.
func (m *Memory) Header(unit uint32) *Header {
	return (*Header)(m.at(int(unit)*UnitBytes, int(unsafe.Sizeof(Header{}))))
}

// Live is the live generation's header.
func (m *Memory) Live() *Header {
	unit, _ := m.Generation()
	return m.Header(unit)
}

// Line is the line at a unit.
func (m *Memory) Line(unit uint32) *Line {
	return (*Line)(m.at(int(unit)*UnitBytes, UnitBytes))
}

// Words32 is n 32-bit words of the arena from a byte offset, which must be a multiple of 4.
func (m *Memory) Words32(offset uint32, n int) []uint32 {
	return unsafe.Slice((*uint32)(m.at(int(offset), n*4)), n)
}

// Words16 is n 16-bit words of the arena from a byte offset, which must be even.
func (m *Memory) Words16(offset uint32, n int) []uint16 {
	return unsafe.Slice((*uint16)(m.at(int(offset), n*2)), n)
}

// Bytes is n bytes of the arena from a byte offset.
func (m *Memory) Bytes(offset uint32, n int) []byte {
	return unsafe.Slice((*byte)(m.at(int(offset), n)), n)
}

// GroupPage is the page of group words at a unit.
func (m *Memory) GroupPage(unit uint32) *[GroupsPerPage]uint64 {
	return (*[GroupsPerPage]uint64)(m.at(int(unit)*UnitBytes, GroupsPerPage*8))
}

// ShadowWords is n 32-bit words of the shadow from a shadow unit.
func (m *Memory) ShadowWords(unit uint32, n int) []uint32 {
	offset := int(unit) * ShadowUnitBytes
	if offset+n*4 > len(m.Shadow.Units) {
		panic(fmt.Sprintf("tables: shadow unit %d with %d words is out of range", unit, n))
	}
	return unsafe.Slice((*uint32)(unsafe.Pointer(&m.Shadow.Units[offset])), n)
}

// ShadowBytes is n bytes of the shadow from a shadow unit.
func (m *Memory) ShadowBytes(unit uint32, n int) []byte {
	offset := int(unit) * ShadowUnitBytes
	return m.Shadow.Units[offset : offset+n : offset+n]
}

// at is the address of an offset in the arena. It panics like an index out of range: a reference read
// back from a map is checked before, by Valid.
func (m *Memory) at(offset, size int) unsafe.Pointer {
	if offset < 0 || offset+size > len(m.Tables.Arena) {
		panic(fmt.Sprintf("tables: offset %d with %d bytes is out of range", offset, size))
	}
	return unsafe.Pointer(&m.Tables.Arena[offset])
}

// Valid says whether a block of size bytes at a byte offset lies in the arena, behind the reserved units.
func Valid(offset uint64, size int) bool {
	return offset >= uint64(ReservedUnits*UnitBytes) && offset+uint64(size) <= uint64(ArenaUnits*UnitBytes)
}
