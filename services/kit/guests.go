// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"net"

	"google.golang.org/grpc/credentials"
)

// guests are transport credentials that follow each connection of one server, from the listener until it is
// closed, so that a server stops only when nobody can be hurt by it.
type guests struct {
	credentials.TransportCredentials

	monitor
	// accepted connections, and those of them that the server has begun to shake hands with.
	accepted, begun int
	open            map[*guest]struct{}
}

// guest is one connection. Its reader alone uses scan; what the lock guards is state.
type guest struct {
	net.Conn
	guests *guests
	raw    net.Conn
	scan   scan
	state  guestState
}

type guestState uint8

const (
	// silent: nothing that makes a client of HTTP/2 has come yet.
	silent guestState = iota
	// speaking: calls may come.
	speaking
	// leaving: the client has answered the farewell, and all that it sent before was taken.
	leaving
)

func newGuests(inner credentials.TransportCredentials) *guests {
	return &guests{TransportCredentials: inner, open: map[*guest]struct{}{}}
}

// enter counts a connection that was accepted.
func (g *guests) enter() { g.update(func() { g.accepted++ }) }

// seated is a condition: no connection is on the way from the listener to the server.
func (g *guests) seated() bool { return g.begun == g.accepted }

// known is a condition: no connection is silent.
func (g *guests) known() bool { return g.least() > silent }

// gone is a condition: every client has been told to go and begins nothing more here.
func (g *guests) gone() bool { return g.least() >= leaving }

func (g *guests) least() guestState {
	least := leaving
	for one := range g.open {
		least = min(least, one.state)
	}
	return least
}

// dismiss closes the connections that are still silent: a server does not stop before it knows who they are.
func (g *guests) dismiss() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for one := range g.open {
		if one.state == silent {
			one.raw.Close()
		}
	}
}

// ServerHandshake implements credentials.TransportCredentials.
func (g *guests) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	one := &guest{guests: g, raw: raw, scan: newScan()}
	g.update(func() {
		g.begun++
		g.open[one] = struct{}{}
	})
	conn, info, err := g.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		one.leave()
		return nil, nil, err
	}
	one.Conn = conn
	return one, info, nil
}

// Clone shares the guests.
func (g *guests) Clone() credentials.TransportCredentials { return g }

// Read reads along. What was read is judged at the next Read only: then the server has taken all of it.
func (o *guest) Read(b []byte) (int, error) {
	if o.scan.answered {
		o.become(leaving)
	}
	n, err := o.Conn.Read(b)
	if err != nil {
		o.leave()
		return n, err
	}
	if o.scan.feed(b[:n]); o.scan.frames > 0 {
		o.become(speaking)
	}
	return n, nil
}

// become is called by the reader only; the state never goes back.
func (o *guest) become(state guestState) {
	if o.state < state {
		o.guests.update(func() { o.state = state })
	}
}

// Close leaves and closes the connection.
func (o *guest) Close() error {
	o.leave()
	return o.Conn.Close()
}

func (o *guest) leave() { o.guests.update(func() { delete(o.guests.open, o) }) }
