// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// gate is a listener that can stop accepting and lose nothing: whoever the kernel gave us already is served, and
// everybody else waits in the socket's queue for the next one who accepts. A server that were simply stopped would
// close connections that it had just accepted, and their clients would see an error.
type gate struct {
	net.Listener
	// entered is told of each connection before Accept returns it.
	entered func()

	stopped   chan struct{}
	parked    chan struct{}
	closed    chan struct{}
	closeOnce sync.Once
}

func newGate(l net.Listener, entered func()) *gate {
	return &gate{Listener: l, entered: entered, stopped: make(chan struct{}), parked: make(chan struct{}), closed: make(chan struct{})}
}

// Accept is called by one goroutine. After stop it blocks until Close instead of failing.
func (g *gate) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err == nil {
		g.entered()
		return conn, nil
	}
	select {
	case <-g.stopped:
		close(g.parked)
		<-g.closed
		return nil, net.ErrClosed
	default:
		return nil, err
	}
}

// stop makes Accept give up. It may be called once. Parked is closed when no more connection comes.
func (g *gate) stop() error {
	close(g.stopped)
	l, ok := g.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return fmt.Errorf("a listener of type %T cannot stop accepting", g.Listener)
	}
	return l.SetDeadline(time.Unix(1, 0))
}

// Close implements net.Listener. The socket itself stays open: others hold it too.
func (g *gate) Close() error {
	err := net.ErrClosed
	g.closeOnce.Do(func() {
		close(g.closed)
		err = g.Listener.Close()
	})
	return err
}
