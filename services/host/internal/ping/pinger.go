// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package ping sends ICMP echo requests and tells what became of each (RFC 792, RFC 4443).
package ping

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/ashlar-nos/ashlar/services/host/internal/rawsocket"
	"github.com/ashlar-nos/ashlar/services/host/internal/resolve"
)

// Request is what to send.
type Request struct {
	Route resolve.Route
	// Count of requests, at least 1 and at most 65,535.
	Count int
	// Interval between requests, and Wait for each answer.
	Interval, Wait time.Duration
	// Size of the payload in bytes.
	Size int
}

// Outcome is what became of one request.
type Outcome struct {
	// Sequence counts from 1.
	Sequence int
	// From is who answered; "" when nobody did in time.
	From      string
	RoundTrip time.Duration
	// Bytes of the answer's ICMP message.
	Bytes int
	// Error in words; "" for an echo reply and for silence.
	Error string
	// Answered: this is an echo reply.
	Answered bool
}

// Summary is of all outcomes. The times are over the answered requests.
type Summary struct {
	Sent, Received            int
	Minimum, Average, Maximum time.Duration
}

func (s *Summary) add(o Outcome, total *time.Duration) {
	if !o.Answered {
		return
	}
	s.Received++
	*total += o.RoundTrip
	s.Average = *total / time.Duration(s.Received)
	s.Maximum = max(s.Maximum, o.RoundTrip)
	if s.Received == 1 || o.RoundTrip < s.Minimum {
		s.Minimum = o.RoundTrip
	}
}

// Pinger runs sessions side by side and keeps their identifiers apart. Safe for concurrent use.
type Pinger struct{ identifier atomic.Uint32 }

// New returns a pinger that begins with an identifier nobody can guess.
func New() *Pinger {
	p := &Pinger{}
	p.identifier.Store(uint32(random()))
	return p
}

func random() uint64 {
	var b [8]byte
	// Read never fails (crypto/rand).
	_, _ = rand.Read(b[:])
	return binary.NativeEndian.Uint64(b[:])
}

// Run sends the requests and calls emit for each outcome as it comes, from the calling goroutine, until
// all are decided, emit fails or ctx ends.
func (p *Pinger) Run(ctx context.Context, r Request, emit func(Outcome) error) (Summary, error) {
	v6 := r.Route.Destination.Is6()
	socket, err := rawsocket.Open(v6, r.Route.Source)
	if err != nil {
		return Summary{}, err
	}
	s := &session{
		Request: r, v6: v6, socket: socket, id: uint16(p.identifier.Add(1)), emit: emit,
		payload: payload(r.Size), open: map[int]time.Time{},
	}
	answers, received := make(chan answer, 64), make(chan struct{})
	done := make(chan struct{})
	go func() { defer close(received); s.receive(answers, done) }()
	defer func() { close(done); socket.Close(); <-received }()
	err = s.run(ctx, answers)
	return s.summary, err
}

// payload begins with what nobody can guess, so that strangers' answers are not taken for ours.
func payload(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i)
	}
	var token [8]byte
	binary.NativeEndian.PutUint64(token[:], random())
	copy(b, token[:])
	return b
}

// answer is what the network said to one request.
type answer struct {
	Outcome
	at time.Time
}

func (s *session) receive(answers chan<- answer, done <-chan struct{}) {
	for {
		p, err := s.socket.Receive()
		if err != nil {
			return
		}
		if a, ok := s.recognize(p); ok {
			select {
			case answers <- a:
			case <-done:
				return
			}
		}
	}
}
