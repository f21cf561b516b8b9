// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernelroutes

import (
	"fmt"
	"net/netip"
	"reflect"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
)

const (
	// receiveBuffer holds the echo of all our own routes.
	receiveBuffer = 4 << 20
	// eventLimit bounds what is kept of events, and of routes of others. Beyond, the table is read again.
	eventLimit = 2 * Limit
)

// event is a change of the kernel's main table that the mirror did not make, or a removal that it may have made.
type event struct {
	route engine.KernelRoute
	own   bool // of our protocol
	gone  bool
}

// listener collects events beside the mirror's work. It is safe for concurrent use.
type listener struct {
	signal chan struct{}
	broken chan error

	mu       sync.Mutex
	events   []event
	overflow bool
}

// listen subscribes to both families' routes until done is closed.
func listen(done <-chan struct{}) (*listener, error) {
	l := &listener{signal: make(chan struct{}, 1), broken: make(chan error, 1)}
	updates := make(chan netlink.RouteUpdate, 64)
	err := netlink.RouteSubscribeWithOptions(updates, done, netlink.RouteSubscribeOptions{
		ErrorCallback: l.fail, ReceiveBufferSize: receiveBuffer,
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to routes: %w", err)
	}
	go func() {
		for u := range updates {
			l.take(u)
		}
		l.fail(fmt.Errorf("the subscription to routes ended"))
	}()
	return l, nil
}

func (l *listener) fail(err error) {
	select {
	case l.broken <- err:
	default:
	}
}

func (l *listener) take(u netlink.RouteUpdate) {
	own, gone := u.Protocol == Protocol, u.Type == unix.RTM_DELROUTE
	if u.Table != unix.RT_TABLE_MAIN || u.Flags&unix.RTM_F_CLONED != 0 || own && !gone || !own && u.Priority >= metric {
		return
	}
	r, ok := parse(u.Route, u.Family)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) < eventLimit {
		l.events = append(l.events, event{r, own, gone})
	} else {
		l.overflow = true
	}
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// drain returns what came since the last call; whole is false if there was more than is kept.
func (l *listener) drain() (events []event, whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, whole = l.events, !l.overflow
	l.events, l.overflow = nil, false
	return events, whole
}

// apply takes over what the kernel said. A route of ours that is gone, and that the mirror did not remove, is
// missing from now on.
func (m *Mirror) apply(events []event) {
	for _, e := range events {
		p := e.route.Prefix
		have, installed := m.installed[p]
		switch {
		case !e.own && e.gone:
			delete(m.foreign, p)
		case !e.own:
			m.addForeign(p)
		case installed && reflect.DeepEqual(have, e.route):
			delete(m.installed, p)
			m.missing[p] = true
		}
	}
}

func (m *Mirror) addForeign(p netip.Prefix) {
	if len(m.foreign) < eventLimit {
		m.foreign[p] = true
	}
}

// judgeForeign counts the mirrored routes that another one comes before, and tells of each once.
func (m *Mirror) judgeForeign() {
	shadowed := map[netip.Prefix]bool{}
	for p := range m.foreign {
		if _, ours := m.installed[p]; !ours {
			continue
		}
		if shadowed[p] = true; !m.told[p] {
			m.log.Warn("a route of somebody else comes before the one that packets are forwarded by", "prefix", p)
		}
	}
	m.told = shadowed
	m.shadowed.Store(int64(len(shadowed)))
}
