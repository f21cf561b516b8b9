// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package ping

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/ashlar-nos/ashlar/services/host/internal/icmperror"
	"github.com/ashlar-nos/ashlar/services/host/internal/rawsocket"
)

// session is one run. Its goroutine owns all but what recognize reads, which does not change.
type session struct {
	Request
	v6      bool
	socket  *rawsocket.Socket
	id      uint16
	payload []byte
	emit    func(Outcome) error

	// open are the requests without an outcome, by when they were sent.
	open    map[int]time.Time
	oldest  int
	summary Summary
	total   time.Duration
}

func (s *session) run(ctx context.Context, answers <-chan answer) error {
	next := time.NewTimer(0)
	defer next.Stop()
	expiry := time.NewTimer(time.Hour)
	defer expiry.Stop()
	for s.summary.Sent < s.Count || len(s.open) > 0 {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next.C:
			if s.summary.Sent < s.Count {
				err = s.send()
				next.Reset(s.Interval)
			}
		case a := <-answers:
			err = s.answered(a)
		case now := <-expiry.C:
			err = s.expire(now)
		}
		if err != nil {
			return err
		}
		expiry.Reset(s.untilExpiry())
	}
	return nil
}

func (s *session) send() error {
	s.summary.Sent++
	sequence := s.summary.Sent
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(s.id), Seq: sequence, Data: s.payload}}
	if s.v6 {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	b, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	s.open[sequence] = time.Now()
	if err := s.socket.Send(b, s.Route.Destination); err != nil {
		return s.decide(Outcome{Sequence: sequence, Error: words(err)})
	}
	return nil
}

// words drops what only a programmer wants to know from an error of the kernel.
func words(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

func (s *session) answered(a answer) error {
	sent, ok := s.open[a.Sequence]
	if !ok {
		// Late, or the same again.
		return nil
	}
	a.RoundTrip = max(0, a.at.Sub(sent))
	return s.decide(a.Outcome)
}

func (s *session) expire(now time.Time) error {
	for sequence := s.oldest + 1; sequence <= s.summary.Sent; sequence++ {
		if sent, ok := s.open[sequence]; ok {
			if now.Sub(sent) < s.Wait {
				return nil
			}
			if err := s.decide(Outcome{Sequence: sequence}); err != nil {
				return err
			}
		}
	}
	return nil
}

// untilExpiry is how long the oldest open request still has.
func (s *session) untilExpiry() time.Duration {
	for ; s.oldest < s.summary.Sent; s.oldest++ {
		if sent, ok := s.open[s.oldest+1]; ok {
			return max(0, s.Wait-time.Since(sent))
		}
	}
	return time.Hour
}

func (s *session) decide(o Outcome) error {
	delete(s.open, o.Sequence)
	s.summary.add(o, &s.total)
	return s.emit(o)
}

// recognize reads a message; false when it answers none of this session's requests.
func (s *session) recognize(p rawsocket.Packet) (answer, bool) {
	a := answer{Outcome: Outcome{From: p.From.String(), Bytes: len(p.Message)}, at: p.At}
	if e, ok := icmperror.Parse(s.v6, p.Message); ok {
		id, sequence, ok := e.Echo(s.v6)
		a.Sequence, a.Error = int(sequence), fmt.Sprintf("%s from %s", e.Reason, p.From)
		return a, ok && id == s.id && e.Destination == s.Route.Destination.WithZone("")
	}
	protocol := ipv4.ICMPTypeEchoReply.Protocol()
	if s.v6 {
		protocol = ipv6.ICMPTypeEchoReply.Protocol()
	}
	m, err := icmp.ParseMessage(protocol, p.Message)
	if err != nil {
		return a, false
	}
	echo, ok := m.Body.(*icmp.Echo)
	if !ok || (m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply) {
		return a, false
	}
	a.Sequence, a.Answered = echo.Seq, true
	return a, echo.ID == int(s.id) && bytes.Equal(echo.Data, s.payload)
}
