// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// route is a prefix with the group it leads to.
type route struct {
	address uint32
	bits    int
	group   int
}

// lengths is how a full table of the Internet is made up, in parts of 1000: mostly /24, hardly anything longer.
var lengths = []struct{ bits, share int }{
	{8, 1}, {12, 1}, {14, 2}, {15, 2}, {16, 14}, {17, 8}, {18, 14}, {19, 26}, {20, 44}, {21, 52}, {22, 110}, {23, 104},
	{24, 610}, {28, 4}, {30, 3}, {32, 5},
}

// makeRoutes draws n different prefixes out of unicast space, each to one of a number of groups.
func makeRoutes(n, groups int) []route {
	rng := rand.New(rand.NewPCG(0xa5, uint64(n)))
	seen := make(map[uint64]struct{}, n)
	routes := make([]route, 0, n)
	for len(routes) < n {
		bits := anyLength(rng)
		a := (1<<24 + rng.Uint32N(223<<24)) &^ (1<<(32-bits) - 1)
		first := a >> 24
		if first == 0 || first == 10 || first == 127 || first >= 224 || first == 100 {
			continue
		}
		key := uint64(a)<<8 | uint64(bits)
		if _, dup := seen[key]; dup {
			continue
		}
		seen[key] = struct{}{}
		routes = append(routes, route{a, bits, rng.IntN(groups)})
	}
	return routes
}

func anyLength(rng *rand.Rand) int {
	x := rng.IntN(1000)
	for _, l := range lengths {
		if x -= l.share; x < 0 {
			return l.bits
		}
	}
	return 24
}

// columns is the form in which the contract carries routes.
func columns(routes []route) (prefixes []byte, groups []uint32) {
	for _, r := range routes {
		prefixes = append(binary.BigEndian.AppendUint32(prefixes, r.address), byte(r.bits))
		groups = append(groups, uint32(r.group+1))
	}
	return prefixes, groups
}

// destinations draws addresses inside routed space: a route, all alike, then an address in it.
func destinations(routes []route, into []traceDestination) {
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range into {
		r := routes[rng.IntN(len(routes))]
		a := r.address | uint32(rng.Uint64()&(1<<(32-r.bits)-1))
		into[i] = traceDestination{Address: binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, a))}
		into[i].Check = headerCheck(into[i].Address)
	}
}

// frame is the packet that every measurement sends, but for its destination.
func frame() []byte {
	f := make([]byte, 64)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0})
	copy(f[14:], []byte{0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1})
	copy(f[34:], []byte{0x30, 0x39, 0, 53, 0, 30, 0, 0})
	return f
}

// headerCheck is the checksum of the frame's header with a destination, both as they lie in memory.
func headerCheck(address uint32) uint16 {
	h := frame()[14:34]
	binary.NativeEndian.PutUint32(h[16:], address)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.NativeEndian.Uint16(h[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
