// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package play makes the calls of a contract file and judges the answers. It knows messages by their declarations and
// nothing of what they mean. A Player is used by one goroutine.
package play

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/contract"
	"github.com/ashlar-nos/ashlar/compat-tests/internal/match"
)

// Player plays against one provider.
type Player struct {
	// Provider is the connection to it; Level at which it provides the contract.
	Provider grpc.ClientConnInterface
	Level    uint32
	// Socket connects to another socket of the device by its file name.
	Socket func(name string) (grpc.ClientConnInterface, error)
}

// known are values that an interaction finds under their names, each time others: a fencing token that is newer than all
// before it, one that is older, and a text that nobody has used.
func (p *Player) known() match.Captured {
	token := uint64(time.Now().UnixMicro()) // of components they are small
	return match.Captured{
		"$token": strconv.FormatUint(token, 10), "$older": strconv.FormatUint(token-1, 10), "$unique": "compat-" + rand.Text(),
	}
}

// Failure is an interaction that did not go as the file says.
type Failure struct {
	Interaction string
	Err         error
}

func (f Failure) String() string { return fmt.Sprintf("%q: %v", f.Interaction, f.Err) }

// Play plays the interactions of a file that are chosen and that the provider's level has, and returns how many it played
// and which failed.
func (p *Player) Play(ctx context.Context, f *contract.File, chosen func(contract.Interaction) bool) (played int, failures []Failure) {
	for _, i := range f.Interactions {
		if i.Level > p.Level || !chosen(i) {
			continue
		}
		played++
		if err := p.interaction(ctx, f, i); err != nil {
			failures = append(failures, Failure{i.Name, err})
		}
	}
	return played, failures
}

// putBack bounds the calls that put a provider back.
const putBack = 5 * time.Second

func (p *Player) interaction(ctx context.Context, f *contract.File, i contract.Interaction) error {
	captured := p.known()
	err := p.perform(ctx, captured, f, i)
	then, cancel := context.WithTimeout(ctx, putBack)
	defer cancel()
	for _, c := range i.Then {
		if e := p.call(then, captured, c); e != nil && err == nil {
			err = fmt.Errorf("putting the provider back: %w", e)
		}
	}
	return err
}

// perform brings the provider into its state and plays the interaction itself.
func (p *Player) perform(ctx context.Context, captured match.Captured, f *contract.File, i contract.Interaction) error {
	ctx, cancel := context.WithTimeout(ctx, i.Limit())
	defer cancel()
	for _, c := range i.Given {
		if err := p.call(ctx, captured, c); err != nil {
			return fmt.Errorf("bringing the provider into its state: %w", err)
		}
	}
	if len(i.Steps) > 0 {
		return p.stream(ctx, captured, f.FullMethod(i), i.Steps)
	}
	for n := range max(i.Repeat, 1) {
		if err := unary(ctx, captured, p.Provider, f.FullMethod(i), i.Request, i.Answer); err != nil {
			if n > 0 {
				return fmt.Errorf("the same call again: %w", err)
			}
			return err
		}
	}
	return nil
}

// call makes a call to any socket.
func (p *Player) call(ctx context.Context, captured match.Captured, c contract.Call) error {
	conn := p.Provider
	if c.Socket != "" {
		var err error
		if conn, err = p.Socket(c.Socket); err != nil {
			return err
		}
	}
	return unary(ctx, captured, conn, "/"+c.Method, c.Request, c.Answer)
}

func unary(ctx context.Context, captured match.Captured, conn grpc.ClientConnInterface, full string, request any, want contract.Answer) error {
	m, err := contract.Method(full)
	if err != nil {
		return err
	}
	in, err := contract.Message(m.Input(), captured.Fill(request))
	if err != nil {
		return err
	}
	out := dynamicpb.NewMessage(m.Output())
	return judge(captured, want, out, conn.Invoke(ctx, full, in, out, grpc.WaitForReady(true)))
}

// judge holds an answer against what is wanted.
func judge(captured match.Captured, want contract.Answer, got proto.Message, err error) error {
	if code := status.Code(err); code != want.Want() {
		return fmt.Errorf("the answer is %v, want %v", describe(err), want.Want())
	}
	if err != nil {
		if text := status.Convert(err).Message(); !strings.Contains(text, want.Says) {
			return fmt.Errorf("the error says %q, want %q in it", text, want.Says)
		}
		return nil
	}
	if want.Response == nil {
		return nil
	}
	form, err := formOf(got)
	if err != nil {
		return err
	}
	return captured.Check(want.Response, form)
}

func describe(err error) string {
	if err == nil {
		return codes.OK.String()
	}
	return fmt.Sprintf("%v (%s)", status.Code(err), status.Convert(err).Message())
}

// formOf is a message as matchers see it: all fields, by their declared names.
func formOf(m proto.Message) (any, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var form any
	return form, json.Unmarshal(text, &form)
}

// stream plays the steps of one stream.
func (p *Player) stream(ctx context.Context, captured match.Captured, full string, steps []contract.Step) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m, err := contract.Method(full)
	if err != nil {
		return err
	}
	s, err := p.Provider.NewStream(ctx, &grpc.StreamDesc{ClientStreams: m.IsStreamingClient(), ServerStreams: m.IsStreamingServer()}, full, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("the stream does not begin: %w", err)
	}
	t := &talk{player: p, captured: captured, stream: s, input: m.Input(), output: m.Output(), started: make(chan error, 1), once: !m.IsStreamingClient()}
	for n, step := range steps {
		if err := t.act(ctx, step); err != nil {
			return fmt.Errorf("step %d: %w", n+1, err)
		}
	}
	return nil
}

// talk is a stream under way.
type talk struct {
	player        *Player
	captured      match.Captured
	stream        grpc.ClientStream
	input, output protoreflect.MessageDescriptor
	started       chan error
	// once: the method takes one request.
	once bool
}

func (t *talk) send(form any) error {
	m, err := contract.Message(t.input, t.captured.Fill(form))
	if err != nil {
		return err
	}
	if err := t.stream.SendMsg(m); err != nil && !errors.Is(err, io.EOF) { // Recv says why
		return err
	}
	if t.once {
		return t.stream.CloseSend()
	}
	return nil
}

func (t *talk) act(ctx context.Context, s contract.Step) error {
	switch {
	case s.Send != nil:
		return t.send(s.Send)
	case s.Receive != nil:
		return t.receive(s.Receive)
	case s.Call != nil:
		return t.player.call(ctx, t.captured, *s.Call)
	case s.Start != nil:
		call, known := *s.Start, maps.Clone(t.captured)
		go func() { t.started <- t.player.call(ctx, known, call) }()
		return nil
	case s.Finish:
		return t.finish(ctx)
	case s.Close:
		return t.stream.CloseSend()
	}
	return t.end(*s.End)
}

// receive takes messages until one matches.
func (t *talk) receive(want any) error {
	var last error
	for {
		m := dynamicpb.NewMessage(t.output)
		if err := t.stream.RecvMsg(m); err != nil {
			if last != nil {
				return fmt.Errorf("no message as expected (%w) before the stream's end: %s", last, describe(err))
			}
			return fmt.Errorf("no message as expected before the stream's end: %s", describe(err))
		}
		form, err := formOf(m)
		if err != nil {
			return err
		}
		if last = t.captured.Check(want, form); last == nil {
			return nil
		}
	}
}

// finish judges the call that was started; what it expects of the answer was said there.
func (t *talk) finish(ctx context.Context) error {
	select {
	case err := <-t.started:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the call that was started does not end: %w", ctx.Err())
	}
}

// end waits for the provider to end the stream.
func (t *talk) end(want contract.Answer) error {
	for {
		m := dynamicpb.NewMessage(t.output)
		err := t.stream.RecvMsg(m)
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			err = nil
		}
		return judge(t.captured, contract.Answer{Code: want.Code, Says: want.Says}, m, err)
	}
}
