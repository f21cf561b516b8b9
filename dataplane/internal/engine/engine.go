// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine programs the forwarding tables: it turns batches of routes and groups, ports, links and
// neighbours into what packets see, one generation after the other.
//
// An Engine is safe for concurrent use. One mutex orders all writers; packets take no lock and see either
// all of a transaction or nothing. Link and neighbour changes move buckets in place and need no transaction.
// Whatever the engine is told is repeated by its sources after a restart, and repeating changes nothing.
package engine

import (
	"log/slog"
	"net/netip"
	"sync"

	"github.com/gaissmai/bart"

	"github.com/ashlar-nos/ashlar/dataplane/internal/fib"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Limits bound the tables. A batch that would exceed one is refused by its name and changes nothing.
type Limits struct {
	RoutesV4 int
	RoutesV6 int
	Groups   int
	Hosts    int // neighbours with a route of their own; what exceeds it is forwarded by the kernel
}

// DefaultLimits fit the memory that the program declares.
func DefaultLimits() Limits {
	return Limits{RoutesV4: 1 << 20, RoutesV6: 200_000, Groups: 48 << 10, Hosts: 15 << 10}
}

// Attacher puts the program on links. Both calls may be repeated.
type Attacher interface {
	// Attach returns the mode, "native" or "generic".
	Attach(index uint32) (mode string, err error)
	Detach(index uint32) error
	// Filled is called when the tables hold all that a programmer wants: links that still run an older
	// program on other tables may move.
	Filled() error
}

// Options are what an engine works with.
type Options struct {
	Limits   Limits
	Attacher Attacher
	// Grace returns when every packet that was being forwarded when it was called has left the program.
	Grace func() error
	Log   *slog.Logger
}

// Engine is the writer of the shared memory.
type Engine struct {
	options Options
	memory  *tables.Memory

	mu       sync.Mutex
	space    *fib.Space
	v4, v6   *fib.Table
	roots    [2]fib.Root // of the live generation
	header   uint32      // unit of the live header, 0 before the first
	sequence uint64
	synced   uint64 // the programmer's generation whose end of sync was applied last
	groups   *groups
	hops     *nextHops
	idle     []rested // programmed groups without a route, oldest first
	restings uint64
	session  *Session

	ports     map[string]*port
	slots     portSlots
	links     map[uint32]Link
	neighbors map[neighborKey]Neighbor
	addresses *bart.Table[int] // every neighbour's address, with the number of links it is on
	hosts     map[netip.Addr]*group
	following bool // links and neighbours are known
	declared  bool // ports are known

	reclaim   chan struct{}
	lonely    chan struct{} // see Unresolved
	graves    []grave
	graveyard uint64
	readers   sync.RWMutex // held for reading while a dump walks one generation

	watchers     []chan struct{}
	told         told
	moved        uint64 // counts changes of links
	audits       uint64
	repairs      uint64
	auditCursor  int
	transactions uint64
}

func newEngine(m *tables.Memory, o Options) *Engine {
	e := &Engine{
		options: o, memory: m,
		space: fib.NewSpace(m), v4: fib.NewTable(false), v6: fib.NewTable(true),
		groups: newGroups(m), hops: newNextHops(m),
		ports: map[string]*port{}, links: map[uint32]Link{},
		neighbors: map[neighborKey]Neighbor{}, addresses: &bart.Table[int]{}, hosts: map[netip.Addr]*group{},
		reclaim: make(chan struct{}, 1), lonely: make(chan struct{}, 1),
	}
	e.slots = portSlots{m, &e.told}
	return e
}

// New takes the memory of maps, fresh or in use by packets. Of the latter it takes over routes, groups,
// adjacencies and ports; an error means that the memory cannot be trusted and fresh maps are needed.
func New(m *tables.Memory, o Options) (*Engine, error) {
	e := newEngine(m, o)
	if unit, _ := m.Generation(); unit != 0 {
		if err := e.adopt(unit); err != nil {
			return nil, err
		}
	} else if err := e.transact(func(*transaction) error { return nil }); err != nil {
		return nil, err
	}
	e.adoptPorts()
	return e, nil
}

// Watch returns a channel that is signalled, at most once until it is read, when routes, groups, ports, links
// or neighbours changed.
func (e *Engine) Watch() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := make(chan struct{}, 1)
	e.watchers = append(e.watchers, c)
	return c
}

func (e *Engine) signal() {
	for _, c := range e.watchers {
		poke(c)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Following says whether links and neighbours are known.
func (e *Engine) Following() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.following
}

func (e *Engine) table(v6 bool) *fib.Table {
	if v6 {
		return e.v6
	}
	return e.v4
}
