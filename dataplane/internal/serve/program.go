// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"io"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
)

type programStream = grpc.BidiStreamingServer[dataplanev1.ProgramRequest, dataplanev1.ProgramResponse]

// Program implements the contract. Batches are applied in order, one at a time; the transport's flow control
// holds the programmer back.
func (s *Server) Program(stream programStream) error {
	b, err := s.await(stream.Context())
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil {
		return status.Error(codes.InvalidArgument, "the first message is not open")
	}
	session, opened, err := b.Engine.Open(open.GetFencingToken(), open.GetGeneration())
	if err != nil {
		return wire(err)
	}
	err = stream.Send(&dataplanev1.ProgramResponse{Message: &dataplanev1.ProgramResponse_Opened{
		Opened: &dataplanev1.Opened{Generation: opened.Generation, Routes: opened.Routes},
	}})
	if err != nil {
		return err
	}
	return (&programmer{stream: stream, session: session}).run()
}

// programmer is one stream after open.
type programmer struct {
	stream   programStream
	session  *engine.Session
	sequence uint64
}

// received is what the stream gave.
type received struct {
	request *dataplanev1.ProgramRequest
	err     error
}

// run works until the stream ends. Reading happens beside, so that a newer session ends this one at once.
func (p *programmer) run() error {
	requests := make(chan received)
	go func() {
		for {
			r, err := p.stream.Recv()
			select {
			case requests <- received{r, err}:
			case <-p.stream.Context().Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-p.session.Ended():
			return wire(engine.ErrSuperseded)
		case <-p.stream.Context().Done():
			return status.FromContextError(p.stream.Context().Err()).Err()
		case r := <-requests:
			if errors.Is(r.err, io.EOF) {
				return nil
			}
			if r.err != nil {
				return r.err
			}
			if err := p.handle(r.request); err != nil {
				return err
			}
		}
	}
}

func (p *programmer) handle(r *dataplanev1.ProgramRequest) error {
	var sequence uint64
	var apply func() error
	switch m := r.GetMessage().(type) {
	case *dataplanev1.ProgramRequest_Batch:
		sequence, apply = m.Batch.GetSequence(), func() error { return p.batch(m.Batch) }
	case *dataplanev1.ProgramRequest_EndOfSync:
		sequence, apply = m.EndOfSync.GetSequence(), p.session.EndOfSync
	default:
		return status.Error(codes.InvalidArgument, "after open only batches and end of sync are understood")
	}
	if p.sequence != 0 && sequence != p.sequence+1 {
		return status.Errorf(codes.InvalidArgument, "sequence %d follows %d", sequence, p.sequence)
	}
	p.sequence = sequence
	ack := &dataplanev1.Acknowledged{Sequence: sequence}
	if err := apply(); err != nil {
		if errors.Is(err, engine.ErrSuperseded) {
			return wire(err)
		}
		ack.Failures = []*dataplanev1.Failure{failure(sequence, err)}
	}
	return p.stream.Send(&dataplanev1.ProgramResponse{Message: &dataplanev1.ProgramResponse_Acknowledged{Acknowledged: ack}})
}

func (p *programmer) batch(b *dataplanev1.Batch) error {
	batch := engine.Batch{V4: columns(b.GetV4()), V6: columns(b.GetV6())}
	for _, g := range b.GetGroups() {
		group := engine.Group{ID: g.GetId(), Action: action(g.GetAction())}
		for _, h := range g.GetNextHops() {
			hop := engine.Hop{Interface: h.GetInterface(), Weight: h.GetWeight()}
			if a := h.GetAddress(); len(a) > 0 {
				var ok bool
				if hop.Address, ok = netip.AddrFromSlice(a); !ok {
					return errors.Join(engine.ErrInvalid, errors.New("a next hop's address has neither 4 nor 16 bytes"))
				}
			}
			group.Hops = append(group.Hops, hop)
		}
		batch.Groups = append(batch.Groups, group)
	}
	return p.session.Apply(batch)
}

// action is 0, which the engine refuses, for one that does not exist.
func action(a dataplanev1.Action) engine.Action {
	switch a {
	case dataplanev1.Action_ACTION_FORWARD:
		return engine.Forward
	case dataplanev1.Action_ACTION_DROP:
		return engine.Drop
	case dataplanev1.Action_ACTION_LOCAL:
		return engine.Local
	case dataplanev1.Action_ACTION_CONNECTED:
		return engine.Connected
	}
	return 0
}

func columns(c *dataplanev1.RouteColumns) engine.Columns {
	return engine.Columns{Prefixes: c.GetPrefixes(), Groups: c.GetGroups(), Withdrawn: c.GetWithdrawn()}
}
