// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package measure runs the forwarding program without wires, for the benchmarks: the program that devices run,
// its tables, and next hops that exist only in them. Packets arrive by the loopback device, as
// BPF_PROG_TEST_RUN sends them. A Router is not safe for concurrent use.
package measure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
	"github.com/ashlar-nos/ashlar/dataplane/internal/grace"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// arrival is the index of the loopback device.
const arrival = 1

// Config says what next hops there are. Every group has Members of them, with equal weights.
type Config struct {
	Groups  int // at most 4096
	Members int // at most 128
	V6      bool
}

// Router is the program with its tables.
type Router struct {
	objects *tables.Objects
	memory  *tables.Memory
	engine  *engine.Engine
	session *engine.Session
	grace   *grace.Waiter
	stop    context.CancelFunc
	ended   chan error
}

type noLinks struct{}

func (noLinks) Attach(uint32) (string, error) { return "native", nil }
func (noLinks) Detach(uint32) error           { return nil }
func (noLinks) Filled() error                 { return nil }

// Address is where packets must be sent to: the hardware address of the port.
func Address() [6]byte { return [6]byte{2, 0, 0, 0, 0, 1} }

// New loads the program and makes groups 1 to Groups.
func New(c Config) (*Router, error) {
	r := &Router{grace: &grace.Waiter{}, ended: make(chan error, 1)}
	var err error
	if r.objects, err = tables.Load(&tables.Objects{}); err != nil {
		return nil, err
	}
	if r.memory, err = r.objects.Map(); err != nil {
		return nil, errors.Join(err, r.objects.Close())
	}
	r.engine, err = engine.New(r.memory, engine.Options{
		Limits: engine.DefaultLimits(), Attacher: noLinks{}, Grace: r.grace.Wait, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.memory.Close()
		return nil, errors.Join(err, r.objects.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.ended <- r.engine.Reclaim(ctx) }()
	if err := r.setUp(c); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// setUp declares ports, neighbours and groups.
func (r *Router) setUp(c Config) error {
	if err := r.engine.SetPorts(1, []engine.Port{{Name: "in", Enabled: true}, {Name: "out", Enabled: true}}); err != nil {
		return err
	}
	var err error
	if r.session, _, err = r.engine.Open(1, 1); err != nil {
		return err
	}
	in := Address()
	links := []engine.Link{
		{Index: arrival, Name: "in", Address: in[:], MTU: 1500, Up: true},
		{Index: 1000, Name: "out", Address: []byte{2, 0, 0, 0, 0, 2}, MTU: 1500, Up: true},
	}
	var neighbors []engine.Neighbor
	var batch engine.Batch
	for g := range c.Groups {
		group := engine.Group{ID: uint32(g + 1), Action: engine.Forward}
		for m := range c.Members {
			a := hopAddress(c.V6, g, m)
			group.Hops = append(group.Hops, engine.Hop{Interface: "out", Address: a})
			neighbors = append(neighbors, engine.Neighbor{
				Link: 1000, Address: a, MAC: []byte{2, 1, byte(g >> 8), byte(g), 0, byte(m)}, Usable: true, State: "permanent",
			})
		}
		batch.Groups = append(batch.Groups, group)
	}
	if err := r.engine.Follow(links, neighbors); err != nil {
		return err
	}
	return r.session.Apply(batch)
}

func hopAddress(v6 bool, group, member int) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, 14: byte(group >> 8), 13: byte(member), 15: byte(group)})
	}
	return netip.AddrFrom4([4]byte{100, 64 + byte(group>>8), byte(group), byte(member)})
}

// Load installs routes in one transaction and returns how long that took. Prefixes are of 5 or 17 bytes:
// address, then length.
func (r *Router) Load(prefixes []byte, groups []uint32, v6 bool) (time.Duration, error) {
	b := engine.Batch{V4: engine.Columns{Prefixes: prefixes, Groups: groups}}
	if v6 {
		b = engine.Batch{V6: engine.Columns{Prefixes: prefixes, Groups: groups}}
	}
	begin := time.Now()
	err := r.session.Apply(b)
	return time.Since(begin), err
}

// Program is the forwarding program.
func (r *Router) Program() *ebpf.Program { return r.objects.Program }

// Reasons returns how many packets met which end.
func (r *Router) Reasons() map[string]uint64 {
	m := map[string]uint64{}
	for reason, n := range r.engine.Counters().Reasons {
		if n > 0 {
			m[tables.Reason(reason).String()] = n
		}
	}
	return m
}

// Describe tells how full the tables are.
func (r *Router) Describe() string {
	text := ""
	for _, u := range r.engine.Counters().Usage {
		text += fmt.Sprintf("%s %d/%d  ", u.Name, u.Used, u.Limit)
	}
	return text
}

// Close unloads everything.
func (r *Router) Close() error {
	r.stop()
	err := <-r.ended
	r.memory.Close()
	r.grace.Close()
	return errors.Join(err, r.objects.Close())
}
