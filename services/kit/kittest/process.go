// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kittest

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"testing"

	"google.golang.org/grpc"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
)

// Process is one process of the component under test: the component itself, a candidate, or one that drains. Its
// methods speak to it as the supervisor does, on a socket that is its own, and fail the test where they return no error.
type Process struct {
	d        *Device
	endpoint string
	conn     *grpc.ClientConn
	life     lifecyclev1.LifecycleClient
	cancel   context.CancelFunc
	done     chan struct{}
	err      error
}

// start runs the process with a lifecycle socket of its own and the component's other sockets.
func (p *Process) start(construct kit.Constructor) {
	d := p.d
	d.t.Helper()
	life := listenUnix(d.t, p.endpoint)
	sockets := maps.Clone(d.sockets)
	sockets["lifecycle"] = life
	rt, err := kit.Embed(d.manifest, d.Layout, d.Layout.Root, sockets, logWriter{})
	must(d.t, err)
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	p.conn = dial(d.t, p.endpoint)
	p.life = lifecyclev1.NewLifecycleClient(p.conn)
	go func() {
		defer close(p.done)
		defer life.Close()
		p.err = rt.Serve(ctx, construct)
	}()
}

// listenUnix opens a unix socket as the supervisor does, in the place of an older one.
func listenUnix(t testing.TB, path string) *os.File {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	must(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	f, err := l.(*net.UnixListener).File()
	must(t, err)
	must(t, l.Close())
	return f
}

// call makes a call on the process's own socket; it fails when the process has ended.
func (p *Process) call(do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- do(ctx) }()
	select {
	case err := <-answered:
		return err
	case <-p.done:
	}
	// The answer may have been on its way.
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
	}
	return errors.Join(errors.New("the process has ended"), p.err)
}

var whenUp = grpc.WaitForReady(true)

// Activate gives the process a token newer than all before.
func (p *Process) Activate() {
	p.d.t.Helper()
	p.d.token++
	must(p.d.t, p.call(func(ctx context.Context) error {
		_, err := p.life.Activate(ctx, &lifecyclev1.ActivateRequest{FencingToken: p.d.token}, whenUp)
		return err
	}))
}

// Freeze freezes the process within the usual limit.
func (p *Process) Freeze() error {
	return p.call(func(ctx context.Context) error {
		_, err := p.life.Freeze(ctx, &lifecyclev1.FreezeRequest{}, whenUp)
		return err
	})
}

// Unfreeze takes it back.
func (p *Process) Unfreeze() {
	p.d.t.Helper()
	must(p.d.t, p.call(func(ctx context.Context) error {
		_, err := p.life.Unfreeze(ctx, &lifecyclev1.UnfreezeRequest{}, whenUp)
		return err
	}))
}

// Rehearse returns what the process says it would write.
func (p *Process) Rehearse() *lifecyclev1.RehearseResponse {
	p.d.t.Helper()
	var out *lifecyclev1.RehearseResponse
	must(p.d.t, p.call(func(ctx context.Context) (err error) {
		out, err = p.life.Rehearse(ctx, &lifecyclev1.RehearseRequest{}, whenUp)
		return err
	}))
	return out
}

// Export returns all parts that the process exports.
func (p *Process) Export() (parts []*lifecyclev1.Part, err error) {
	err = p.call(func(ctx context.Context) error {
		stream, err := p.life.Export(ctx, &lifecyclev1.ExportRequest{}, whenUp)
		for err == nil {
			var m *lifecyclev1.ExportResponse
			if m, err = stream.Recv(); err == nil {
				parts = append(parts, m.GetPart())
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
	return parts, err
}

// Import gives the process the parts of an export.
func (p *Process) Import(parts []*lifecyclev1.Part) error {
	return p.call(func(ctx context.Context) error {
		stream, err := p.life.Import(ctx, whenUp)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if stream.Send(&lifecyclev1.ImportRequest{Part: part}) != nil {
				break // the reason comes with the answer
			}
		}
		_, err = stream.CloseAndRecv()
		return err
	})
}

// Health asks the process for its readiness.
func (p *Process) Health() error {
	return p.call(func(ctx context.Context) error {
		h, err := p.life.Health(ctx, &lifecyclev1.HealthRequest{}, whenUp)
		if err == nil && !h.GetReady() {
			return errors.New(h.GetReason())
		}
		return err
	})
}

// WaitReady waits until the process's domain probe succeeds.
func (p *Process) WaitReady() {
	p.d.t.Helper()
	Eventually(p.d.t, p.Health)
}

// Drain asks the process to end; Wait waits for that.
func (p *Process) Drain() {
	p.d.t.Helper()
	must(p.d.t, p.call(func(ctx context.Context) error {
		_, err := p.life.Drain(ctx, &lifecyclev1.DrainRequest{}, whenUp)
		return err
	}))
}

// Wait waits until the process has ended.
func (p *Process) Wait() {
	p.d.t.Helper()
	<-p.done
	p.conn.Close()
	if err := p.err; err != nil && !errors.Is(err, context.Canceled) {
		p.d.t.Errorf("the process ended with %v", err)
	}
}

// Stop ends the process as SIGTERM does and waits until it has ended.
func (p *Process) Stop() {
	p.d.t.Helper()
	p.cancel()
	p.Wait()
}
