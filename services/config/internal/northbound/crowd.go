// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// limits bound a crowd.
type limits struct {
	// known connections are of somebody who proved who it is; one too many is refused.
	known int
	// strangers are all others, in the handshake or after it; when there is one too many, all together or from
	// one source, the oldest from the source in question is closed.
	strangers, perSource int
}

// tellEvery is how often the log may name a source that is turned away.
const tellEvery = 10 * time.Second

// crowd counts the connections of a listener. Strangers never take the place of those who are known.
type crowd struct {
	limits
	log    *slog.Logger
	closed prometheus.Counter
	tell   rate.Sometimes

	mu    sync.Mutex
	known int
	// strangers by source, the oldest first.
	strangers map[string][]*guest
	waiting   int
	// turned away since the last line in the log.
	turned int
}

// guest is one connection. Its fields other than Conn belong to the crowd's lock.
type guest struct {
	net.Conn
	crowd  *crowd
	raw    net.Conn
	source string
	state  state
}

type state uint8

const (
	stranger state = iota
	known
	gone
)

func newCrowd(l limits, log *slog.Logger, closed prometheus.Counter) *crowd {
	return &crowd{limits: l, log: log, closed: closed, strangers: map[string][]*guest{}, tell: rate.Sometimes{First: 1, Interval: tellEvery}}
}

// enter takes a connection in as a stranger. It closes the one that this is too many for.
func (c *crowd) enter(raw net.Conn) *guest {
	g := &guest{Conn: raw, raw: raw, crowd: c, source: sourceOf(raw.RemoteAddr())}
	c.mu.Lock()
	c.strangers[g.source] = append(c.strangers[g.source], g)
	c.waiting++
	from := g.source
	if c.waiting > c.limits.strangers {
		from = c.busiest()
	}
	var oldest *guest
	if n := len(c.strangers[from]); n > c.perSource || c.waiting > c.limits.strangers {
		oldest = c.strangers[from][0]
		c.complain("too many connections of strangers", from, n)
		c.remove(oldest)
	}
	c.mu.Unlock()
	if oldest != nil {
		c.closed.Inc()
		oldest.raw.Close()
	}
	return g
}

// busiest is the source with the most strangers. The lock is held.
func (c *crowd) busiest() string {
	most := ""
	for source, all := range c.strangers {
		if len(all) > len(c.strangers[most]) {
			most = source
		}
	}
	return most
}

// prove makes a stranger known. False: too many are known already, or the connection is closed.
func (c *crowd) prove(g *guest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case g.state == known:
		return true
	case g.state == gone:
		return false
	case c.known >= c.limits.known:
		c.complain("too many connections", g.source, c.known)
		return false
	}
	c.remove(g)
	g.state = known
	c.known++
	return true
}

// leave forgets a connection, however often it is called.
func (c *crowd) leave(g *guest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(g)
}

// remove takes a guest from where it is counted. The lock is held.
func (c *crowd) remove(g *guest) {
	switch g.state {
	case known:
		c.known--
	case stranger:
		c.waiting--
		all := c.strangers[g.source]
		if i := slices.Index(all, g); len(all) > 1 {
			c.strangers[g.source] = slices.Delete(all, i, i+1)
		} else {
			delete(c.strangers, g.source)
		}
	}
	g.state = gone
}

// complain says now and then who is turned away. The lock is held.
func (c *crowd) complain(what, source string, from int) {
	c.turned++
	c.tell.Do(func() {
		c.log.Warn("closing a connection: "+what, "source", source, "from it", from,
			"strangers", c.waiting, "known", c.known, "closed since the last line", c.turned)
		c.turned = 0
	})
}

func (c *crowd) size() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.known + c.waiting)
}

// Close leaves the crowd and closes the connection.
func (g *guest) Close() error {
	g.crowd.leave(g)
	return g.Conn.Close()
}

// RemoteAddr is the peer's address, by which the calls on the connection find it again.
func (g *guest) RemoteAddr() net.Addr { return place{Addr: g.raw.RemoteAddr(), guest: g} }

type place struct {
	net.Addr
	guest *guest
}

// welcome makes the connection of a call known; the access gate has let the call pass.
func welcome(ctx context.Context) error {
	caller, _ := peer.FromContext(ctx)
	at, ok := caller.Addr.(place)
	if !ok || at.guest.crowd.prove(at.guest) {
		return nil
	}
	return status.Error(codes.ResourceExhausted, fmt.Sprintf("more than %d connections", at.guest.crowd.limits.known))
}

func welcomeUnary(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := welcome(ctx); err != nil {
		return nil, err
	}
	return next(ctx, request)
}

func welcomeStream(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := welcome(stream.Context()); err != nil {
		return err
	}
	return next(server, stream)
}

// sourceOf is whom a connection is counted for: an IPv4 address, the /64 of an IPv6 address (a host has all of
// it), or the unix socket.
func sourceOf(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return cmp.Or(a.Network(), "unknown")
	}
	address := at.Addr().Unmap()
	if address.Is6() && !address.IsLinkLocalUnicast() {
		if prefix, err := address.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}
