// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// lines is a log that many may write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// end is a connection that knows only from where it comes, and whether it was closed.
type end struct {
	net.Conn
	from   string
	closed bool
}

func (e *end) RemoteAddr() net.Addr { a, _ := net.ResolveTCPAddr("tcp", e.from); return a }
func (e *end) Close() error         { e.closed = true; return nil }

func TestCrowd(t *testing.T) {
	var proven bool
	var log lines
	c := newCapped(insecure.NewCredentials(), limits{known: 1, strangers: 4, perSource: 2},
		func(credentials.AuthInfo) bool { return proven }, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&log, nil)))
	come := func(from string) (*end, *guest) {
		e := &end{from: from}
		conn, _, err := c.Clone().ServerHandshake(e)
		if err != nil {
			return e, nil
		}
		return e, conn.(*guest)
	}
	// One source: the oldest goes.
	first, _ := come("192.0.2.1:1")
	second, g := come("192.0.2.1:2")
	third, _ := come("192.0.2.1:3")
	if !first.closed || second.closed || third.closed {
		t.Errorf("closed: %t %t %t, want only the first of three", first.closed, second.closed, third.closed)
	}
	// Who is known does not count as a stranger any more, and no flood concerns it.
	for range 2 {
		if !c.crowd.prove(g) {
			t.Error("the second cannot prove who it is")
		}
	}
	// All together: the busiest source pays, a /64 is one source.
	come("[2001:db8::1]:1")
	come("[2001:db8::2]:1")
	come("198.51.100.1:1")
	last, _ := come("203.0.113.1:1")
	if n := c.crowd.size(); n != 5 || second.closed || last.closed || len(c.crowd.strangers["2001:db8::/64"]) != 1 {
		t.Errorf("%v connections, closed %t %t", n, second.closed, last.closed)
	}
	if n := strings.Count(log.String(), "closing a connection"); n != 1 || !strings.Contains(log.String(), "source=192.0.2.1") {
		t.Errorf("%d lines: %s", n, log.String())
	}
	// One too many that are known.
	proven = true
	if _, g := come("192.0.2.9:1"); g != nil {
		t.Error("one too many was let in")
	}
	g.Close()
	g.Close()
	if _, next := come("192.0.2.9:1"); next == nil || c.crowd.known != 1 {
		t.Errorf("after the first was closed: %v, %d known", next, c.crowd.known)
	}
}

// TestFloodOfStrangers opens more connections than there may be, silent ones and ones that say hello and no
// more: who has a certificate or a password is served, before it and after it.
func TestFloodOfStrangers(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	before := h.dial(h.tls())
	ctx := as(t, "alice", "alicealice")
	if _, err := before.Get(ctx, &pb.GetRequest{}); err != nil {
		t.Fatal(err)
	}
	certificate := h.authority.Client("alice", time.Now().Add(time.Hour))
	for i := range maxConnections + 8 {
		conn, err := net.Dial("tcp", h.tcp.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%8 == 0 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			stranger := tls.Client(conn, &tls.Config{RootCAs: h.authority.Pool(), ServerName: "device", NextProtos: []string{"h2"}})
			if err := stranger.HandshakeContext(ctx); err == nil {
				_, _ = io.WriteString(stranger, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
			}
			cancel()
		}
	}
	if _, err := before.Get(ctx, &pb.GetRequest{}); err != nil {
		t.Errorf("who was here: %v", err)
	}
	if _, err := h.dial(h.tls(certificate)).Get(as(t, "", ""), &pb.GetRequest{}); err != nil {
		t.Errorf("who comes with a certificate: %v", err)
	}
	if _, err := h.dial(h.tls()).Get(ctx, &pb.GetRequest{}); err != nil {
		t.Errorf("who comes with a password: %v", err)
	}
	if n := strings.Count(h.log.String(), "closing a connection"); n < 1 || n > 4 || !strings.Contains(h.log.String(), "source=127.0.0.1") {
		t.Errorf("%d lines name the flood: %s", n, h.log.String())
	}
}

// TestHandshakeIsShort: a silent connection is closed by the server.
func TestHandshakeIsShort(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	conn, err := net.Dial("tcp", h.tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	_ = conn.SetReadDeadline(began.Add(2 * handshakeLimit))
	if _, err := conn.Read(make([]byte, 1)); err == nil || time.Since(began) >= 2*handshakeLimit {
		t.Errorf("after %s: %v, want it closed within %s", time.Since(began), err, handshakeLimit)
	}
}
