// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// loss is what is known of frames that a port should have sent.
type loss struct {
	known      bool // the counts are of an earlier look
	lost, sent uint64
	reason     string
}

// watchLoss compares a port's counters with those of the look before. What was found holds until frames leave
// by the port again and none is lost: without traffic nothing is known.
func (e *Engine) watchLoss(p *port) {
	c := e.portCounters(int(p.slot))
	now := loss{known: true, lost: c.Lost, sent: c.OutPackets, reason: p.loss.reason}
	switch before := p.loss; {
	case !before.known:
	case now.lost > before.lost:
		now.reason = e.lossReason(p.slot)
	case now.sent > before.sent:
		now.reason = ""
	}
	switch {
	case now.reason == p.loss.reason:
	case now.reason != "":
		e.options.Log.Warn("port loses frames", "port", p.Name, "lost", c.Lost, "reason", now.reason)
	default:
		e.options.Log.Info("port loses no more frames", "port", p.Name, "lost", c.Lost)
	}
	p.loss = now
}

// lossReason tells why the port's driver takes nothing. A veth whose peer has neither GRO nor XDP refuses all.
func (e *Engine) lossReason(slot uint16) string {
	why := ""
	for i := range e.memory.Counters {
		c := &e.memory.Counters[i]
		if err := atomic.LoadInt32(&c.LostError); err < 0 && atomic.LoadUint32(&c.LostPort) == uint32(slot) {
			why = fmt.Sprintf(" (%v)", syscall.Errno(-err))
		}
	}
	return "frames that should leave are lost: the driver does not take them" + why +
		"; on a veth, switch on GRO at the peer, or attach an XDP program to it"
}
