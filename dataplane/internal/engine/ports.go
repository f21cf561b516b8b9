// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// Port is a link that forwards, as its owner configures it.
type Port struct {
	Name    string
	Enabled bool   // else what arrives is left to the kernel
	MTU     uint32 // bytes of layer 3; 0: the link's
}

// PortStatus is a port with what became of it.
type PortStatus struct {
	Port
	Link     Link // Index 0: does not exist
	Attached bool
	Mode     string
	Reason   string // why it is not attached, or loses what it should send
	Counters tables.PortCounters
}

type port struct {
	Port
	slot     uint16
	link     Link
	attached bool
	mode     string
	reason   string
	loss     loss
}

// layer3 is the largest packet that may leave by the port.
func (p *port) layer3() uint16 {
	m := p.link.MTU
	if p.MTU != 0 {
		m = min(m, p.MTU)
	}
	return uint16(min(m, 0xffff))
}

// portSlots gives ports their counters: a name keeps its slot for as long as there are others to give away.
type portSlots struct {
	memory *tables.Memory
	told   *told
}

func (s portSlots) name(slot int) string {
	name, _, _ := bytes.Cut(s.memory.Shadow.PortNames[slot][:], []byte{0})
	return string(name)
}

// find returns the slot of a name, giving it one; false if all belong to ports in use. Slot 0 is nobody's.
func (s portSlots) find(name string, used func(string) bool) (uint16, bool) {
	spare := 0
	for i := 1; i < tables.MaxPorts; i++ {
		switch have := s.name(i); {
		case have == name:
			return uint16(i), true
		case spare == 0 && have == "":
			spare = i
		}
	}
	for i := 1; i < tables.MaxPorts && spare == 0; i++ {
		if !used(s.name(i)) {
			spare = i
		}
	}
	if spare == 0 {
		return 0, false
	}
	for c := range s.memory.Counters {
		s.memory.Counters[c].Ports[spare] = tables.PortCounters{}
	}
	s.told.ports[spare] = tables.PortCounters{}
	s.memory.Shadow.PortNames[spare] = [16]byte{}
	copy(s.memory.Shadow.PortNames[spare][:15], name)
	return uint16(spare), true
}

// canaryIndex is the loopback device, by which test packets arrive. No program is ever attached to it.
const canaryIndex = 1

// adoptPorts finds the ports that packets come in by already.
func (e *Engine) adoptPorts() {
	for i := range e.memory.Tables.Ports {
		t := &e.memory.Tables.Ports[i]
		if t.Ifindex == 0 || int(t.Slot) >= tables.MaxPorts {
			continue
		}
		name := e.slots.name(int(t.Slot))
		if name == "" || t.Slot == 0 {
			e.writePort(t, tables.Port{})
			continue
		}
		e.ports[name] = &port{
			Port: Port{Name: name, Enabled: t.Flags&tables.PortEnabled != 0, MTU: uint32(t.Mtu)},
			slot: t.Slot, link: Link{Index: t.Ifindex, Name: name},
		}
		e.declared = true
	}
	if canary := &e.memory.Tables.Ports[canaryIndex]; canary.Ifindex == 0 {
		e.writePort(canary, tables.Port{Ifindex: canaryIndex, Flags: tables.PortCanary})
	}
}

// CanarySeen is the number of test packets that reached the tables.
func (e *Engine) CanarySeen() uint64 {
	n := uint64(0)
	for i := range e.memory.Counters {
		n += atomic.LoadUint64(&e.memory.Counters[i].Reasons[tables.ReasonCanary])
	}
	return n
}

// SetPorts declares all ports. Those left out are detached.
func (e *Engine) SetPorts(token uint64, ports []Port) error {
	for i, p := range ports {
		if p.Name == "" || len(p.Name) > 15 {
			return invalid("port name %q", p.Name)
		}
		if slices.ContainsFunc(ports[:i], func(o Port) bool { return o.Name == p.Name }) {
			return invalid("port %s is named twice", p.Name)
		}
	}
	if len(ports) >= tables.MaxPorts {
		return limitPorts()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if token < e.memory.Tables.Control.PortsToken {
		return ErrFenced
	}
	e.memory.Tables.Control.PortsToken = token
	if err := e.declarePorts(ports); err != nil {
		return err
	}
	if err := e.linksMoved(); err != nil {
		return err
	}
	e.declared = true
	return e.fill()
}

func (e *Engine) declarePorts(ports []Port) error {
	declared := map[string]*port{}
	wanted := func(name string) bool { return slices.ContainsFunc(ports, func(p Port) bool { return p.Name == name }) }
	for _, p := range ports {
		have := e.ports[p.Name]
		if have == nil {
			slot, ok := e.slots.find(p.Name, wanted)
			if !ok {
				return limitPorts()
			}
			have = &port{slot: slot}
		}
		declared[p.Name] = have
	}
	for name, have := range e.ports {
		if declared[name] == nil {
			e.detach(have)
		}
	}
	for _, p := range ports {
		declared[p.Name].Port = p
	}
	e.ports = declared
	return nil
}

// linkPorts tells each port what is known of its link.
func (e *Engine) linkPorts() {
	if !e.following {
		return
	}
	byName := map[string]Link{}
	for _, l := range e.links {
		byName[l.Name] = l
	}
	for _, p := range e.ports {
		l := byName[p.Name]
		if p.link.Index != 0 && p.link.Index != l.Index {
			e.detach(p)
		}
		p.link = l
	}
}

// reconcilePorts attaches every port whose link exists.
func (e *Engine) reconcilePorts() {
	if !e.following {
		return
	}
	e.linkPorts()
	for _, p := range e.ports {
		e.attach(p)
	}
}

// RetryPorts attaches again what could not be attached before, and sees which ports lose frames.
func (e *Engine) RetryPorts() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reconcilePorts()
	for _, p := range e.ports {
		e.watchLoss(p)
	}
}

func (e *Engine) attach(p *port) {
	if p.link.Index == 0 {
		p.reason = "link does not exist"
		return
	}
	t := &e.memory.Tables.Ports[int(p.link.Index)%tables.PortIndex]
	if t.Ifindex != 0 && t.Ifindex != p.link.Index && t.Flags&tables.PortCanary == 0 {
		p.reason = fmt.Sprintf("link index %d collides with link index %d", p.link.Index, t.Ifindex)
		return
	}
	want := tables.Port{Ifindex: p.link.Index, Slot: p.slot, Mtu: uint16(min(p.MTU, 0xffff))}
	if p.Enabled {
		want.Flags = tables.PortEnabled
	}
	copy(want.Address[:], p.link.Address)
	e.writePort(t, want)
	if p.attached {
		return
	}
	mode, err := e.options.Attacher.Attach(p.link.Index)
	if err != nil {
		p.reason = err.Error()
		e.options.Log.Warn("port is not attached", "port", p.Name, "err", err)
		return
	}
	p.attached, p.mode, p.reason = true, mode, ""
	e.options.Log.Info("port attached", "port", p.Name, "index", p.link.Index, "mode", mode)
}

func (e *Engine) detach(p *port) {
	if p.link.Index == 0 {
		return
	}
	if err := e.options.Attacher.Detach(p.link.Index); err != nil {
		e.options.Log.Warn("port is not detached", "port", p.Name, "err", err)
	}
	t := &e.memory.Tables.Ports[int(p.link.Index)%tables.PortIndex]
	if t.Ifindex == p.link.Index {
		e.writePort(t, tables.Port{})
	}
	p.attached, p.link = false, Link{}
}

// writePort stores both words of a port, the one that makes it valid last.
func (e *Engine) writePort(t *tables.Port, want tables.Port) {
	if *t == want {
		return
	}
	from := (*[16]byte)(unsafe.Pointer(&want))
	to := (*[2]uint64)(unsafe.Pointer(t))
	atomic.StoreUint64(&to[1], binary.NativeEndian.Uint64(from[8:]))
	atomic.StoreUint64(&to[0], binary.NativeEndian.Uint64(from[:8]))
}

// Ports returns every declared port in the order of names.
func (e *Engine) Ports() []PortStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	var l []PortStatus
	for _, p := range e.ports {
		l = append(l, PortStatus{p.Port, p.link, p.attached, p.mode, cmp.Or(p.reason, p.loss.reason), e.portCounters(int(p.slot))})
	}
	slices.SortFunc(l, func(a, b PortStatus) int { return cmp.Compare(a.Name, b.Name) })
	return l
}
