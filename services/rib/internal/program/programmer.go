// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package program carries the routing table's batches to the dataplane over ashlar.dataplane.v1.
//
// Each stream is a session with a generation of its own: everything is sent again, the dataplane goes on
// forwarding by what it has meanwhile, and end of synchronisation lets it sweep what was not repeated. A
// bounded window of batches is in flight; what changes while it is full is merged in the table. The
// programmer holds no state that a restart could lose.
package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	"github.com/ashlar-nos/ashlar/services/kit/retry"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
)

const (
	// retryEvery is the time after which refused routes are tried again.
	retryEvery = 5 * time.Second
	// openLimit is how long the dataplane may take to answer open.
	openLimit = 5 * time.Second
	// sessionBits of a generation count the sessions of one token.
	sessionBits = 24
)

// Programmer is the one that programs the dataplane.
type Programmer struct {
	RIB    *rib.RIB
	Client dataplanev1.DataplaneClient
	Log    *slog.Logger
	// Token waits for the fencing token.
	Token func(context.Context) (uint64, error)
	// Ready is closed when the sources have told enough to program: what is sent before would take routes
	// away that are about to come.
	Ready <-chan struct{}
	// Complete says whether every source has told all it knows, so that the rest may be swept.
	Complete func() bool

	sessions atomic.Uint64
	applied  atomic.Uint64
}

// Sessions is the number of sessions since start, for metrics.
func (p *Programmer) Sessions() uint64 { return p.sessions.Load() }

// Run programs until ctx ends.
func (p *Programmer) Run(ctx context.Context) error {
	select {
	case <-p.Ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	return retry.Forever(ctx, p.Log, "program the dataplane", p.session)
}

func (p *Programmer) session(ctx context.Context) error {
	token, err := p.Token(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, opened, err := p.open(ctx, token, cancel)
	if err != nil {
		return err
	}
	p.Log.Info("programming the dataplane", "generation", p.applied.Load(), "last", opened.GetGeneration(), "routes", opened.GetRoutes())
	p.RIB.Begin(opened.GetRoutes() == 0)
	defer p.RIB.End()
	received := make(chan struct{})
	go func() {
		defer close(received)
		cancel(p.receive(stream))
	}()
	err = p.send(ctx, stream)
	cancel(err)
	<-received
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

type stream = grpc.BidiStreamingClient[dataplanev1.ProgramRequest, dataplanev1.ProgramResponse]

// open starts a stream with a generation above every one before.
func (p *Programmer) open(ctx context.Context, token uint64, cancel context.CancelCauseFunc) (stream, *dataplanev1.Opened, error) {
	timer := time.AfterFunc(openLimit, func() { cancel(errors.New("the dataplane does not answer")) })
	defer timer.Stop()
	generation := max(token<<sessionBits, p.applied.Load()) + 1
	st, err := p.Client.Program(ctx)
	if err != nil {
		return nil, nil, err
	}
	open := &dataplanev1.Open{FencingToken: token, Generation: generation}
	if err := st.Send(&dataplanev1.ProgramRequest{Message: &dataplanev1.ProgramRequest_Open{Open: open}}); err != nil {
		return nil, nil, whyBroken(st, err)
	}
	m, err := st.Recv()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, nil, err
	}
	opened := m.GetOpened()
	if opened == nil {
		return nil, nil, fmt.Errorf("the dataplane answered open with %T", m.GetMessage())
	}
	p.sessions.Add(1)
	p.applied.Store(max(generation, opened.GetGeneration()))
	if opened.GetGeneration() >= generation {
		return nil, nil, fmt.Errorf("the dataplane knows generation %d, this is %d", opened.GetGeneration(), generation)
	}
	return st, opened, nil
}

// whyBroken finds out why a stream ended: Send says only that it did.
func whyBroken(st stream, sendErr error) error {
	if _, err := st.Recv(); err != nil {
		return err
	}
	return sendErr
}

// send puts batches on the stream as the window allows.
func (p *Programmer) send(ctx context.Context, st stream) error {
	again := time.NewTicker(retryEvery)
	defer again.Stop()
	for {
		if err := p.drain(st); err != nil {
			return err
		}
		select {
		case <-p.RIB.Work():
		case <-again.C:
			p.RIB.Retry()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Programmer) drain(st stream) error {
	for {
		b := p.RIB.Next()
		if b == nil && p.Complete() {
			b = p.RIB.EndOfSync()
		}
		if b == nil {
			return nil
		}
		if err := st.Send(request(b)); err != nil {
			return err // the receiver knows why
		}
	}
}

func (p *Programmer) receive(st stream) error {
	for {
		m, err := st.Recv()
		if err != nil {
			return err
		}
		a := m.GetAcknowledged()
		if a == nil {
			return status.Errorf(codes.Internal, "the dataplane sent %T", m.GetMessage())
		}
		if err := p.RIB.Acknowledge(a.GetSequence(), failures(a)); err != nil {
			return err
		}
	}
}
