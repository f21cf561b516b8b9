// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package trace finds the routers on the way to a host: UDP probes with growing TTL or hop limit, answered
// by ICMP errors.
package trace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/ashlar-nos/ashlar/services/host/internal/icmperror"
	"github.com/ashlar-nos/ashlar/services/host/internal/rawsocket"
	"github.com/ashlar-nos/ashlar/services/host/internal/resolve"
)

const (
	// firstPort is where probes go, each to the next port: nobody is expected to listen there.
	firstPort = 33434
	// attempts is how often a silent hop is asked.
	attempts = 2
)

// Request is what to trace.
type Request struct {
	Route   resolve.Route
	MaxHops int
	// Wait for the answer to each probe.
	Wait time.Duration
}

// Hop is what one distance answered.
type Hop struct {
	Number int
	// From is who answered; "" when nobody did in time.
	From      string
	RoundTrip time.Duration
	// Reached: it is the destination.
	Reached bool
	// Error in words, when the way ends here without reaching the destination.
	Error string
}

// session is one trace. It is used by one goroutine, but for receive.
type session struct {
	Request
	v6     bool
	icmp   *rawsocket.Socket
	udp    *net.UDPConn
	port   uint16
	probes int
	// answers come from receive.
	answers chan answer
}

type answer struct {
	icmperror.Error
	from netip.Addr
	port uint16
	at   time.Time
}

// Run traces and calls emit for each hop in order, from the calling goroutine, until the destination is
// reached, the way ends, emit fails or ctx ends.
func Run(ctx context.Context, r Request, emit func(Hop) error) error {
	s := &session{Request: r, v6: r.Route.Destination.Is6(), answers: make(chan answer, 64)}
	if err := s.open(); err != nil {
		return err
	}
	done, received := make(chan struct{}), make(chan struct{})
	go func() { defer close(received); s.receive(done) }()
	defer func() { close(done); s.icmp.Close(); s.udp.Close(); <-received }()
	for n := 1; n <= r.MaxHops; n++ {
		h, err := s.hop(ctx, n)
		if err != nil {
			return err
		}
		if err := emit(h); err != nil || h.Reached || h.Error != "" {
			return err
		}
	}
	return nil
}

func (s *session) open() error {
	var err error
	if s.icmp, err = rawsocket.Open(s.v6, s.Route.Source); err != nil {
		return err
	}
	network, local := "udp4", &net.UDPAddr{}
	if s.v6 {
		network = "udp6"
	}
	if s.Route.Source.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.Route.Source, 0))
	}
	if s.udp, err = net.ListenUDP(network, local); err != nil {
		s.icmp.Close()
		return err
	}
	s.port = s.udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return nil
}

// hop asks one distance.
func (s *session) hop(ctx context.Context, n int) (Hop, error) {
	if err := s.setLimit(n); err != nil {
		return Hop{}, err
	}
	h := Hop{Number: n}
	for range attempts {
		port := uint16(firstPort + s.probes)
		s.probes++
		sent := time.Now()
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.Route.Destination, port))
		if _, err := s.udp.WriteTo(make([]byte, 24), to); err != nil {
			h.Error = words(err)
			return h, nil
		}
		a, ok, err := s.await(ctx, port, sent)
		if err != nil {
			return h, err
		}
		if ok {
			return s.judge(h, a, a.at.Sub(sent)), nil
		}
	}
	return h, nil
}

func (s *session) setLimit(n int) error {
	if s.v6 {
		return ipv6.NewPacketConn(s.udp).SetHopLimit(n)
	}
	return ipv4.NewPacketConn(s.udp).SetTTL(n)
}

// await waits for the answer to the probe.
func (s *session) await(ctx context.Context, port uint16, sent time.Time) (answer, bool, error) {
	t := time.NewTimer(s.Wait - time.Since(sent))
	defer t.Stop()
	for {
		select {
		case a := <-s.answers:
			if a.port == port {
				return a, true, nil
			}
		case <-t.C:
			return answer{}, false, nil
		case <-ctx.Done():
			return answer{}, false, ctx.Err()
		}
	}
}

func (s *session) judge(h Hop, a answer, after time.Duration) Hop {
	h.From, h.RoundTrip = a.from.String(), max(0, after)
	switch {
	case a.Expired:
	case a.PortUnreachable || a.from.WithZone("") == s.Route.Destination.WithZone(""):
		h.Reached = true
	default:
		h.Error = fmt.Sprintf("%s from %s", a.Reason, a.from)
	}
	return h
}

// receive passes on the errors about this session's probes.
func (s *session) receive(done <-chan struct{}) {
	for {
		p, err := s.icmp.Receive()
		if err != nil {
			return
		}
		e, ok := icmperror.Parse(s.v6, p.Message)
		if !ok || e.Destination != s.Route.Destination.WithZone("") {
			continue
		}
		source, port, ok := e.UDP()
		if !ok || source != s.port {
			continue
		}
		// The packet's bytes are not kept.
		e.Payload = nil
		select {
		case s.answers <- answer{Error: e, from: p.From, port: port, at: p.At}:
		case <-done:
			return
		}
	}
}

// words drops what only a programmer wants to know from an error of the kernel.
func words(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
