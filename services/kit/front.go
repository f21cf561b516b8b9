// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/tap"
)

// FrontOptions are how a Front serves.
type FrontOptions struct {
	// Credentials are the transport's, for example peer.Credentials() or TLS.
	Credentials credentials.TransportCredentials
	// Tap, if any, judges a call at its headers, as grpc.InTapHandle.
	Tap tap.ServerInHandle
	// Server are all other options. They are used for more than one grpc.Server, one after another, and must hold
	// neither grpc.Creds nor grpc.InTapHandle.
	Server []grpc.ServerOption
	// Lasting are streams that only read, by full method such as "/gnmi.gNMI/Subscribe": the drain of a frozen component,
	// which somebody has taken over from, lets them go on until they end or its limit is near. All other streams end when
	// the drain begins, with UNAVAILABLE.
	Lasting []string
}

// Front is what clients see on one of the component's sockets: contracts, registered once, behind a gRPC server that
// can stop, and begin again, without any client that follows GOAWAY seeing an error. A service gets one with
// Runtime.Front for each socket that it wants to serve itself, registers on it as on a grpc.Server, and calls Open when
// clients may come. The kit does the rest, as it does for the socket "api": it accepts only once the component has its
// token, stops in Freeze, goes on after Unfreeze, and in a drain ends with calls answered and streams ended.
//
// Calls on all fronts count as in flight for Freeze and Drain, and wait while the component is frozen. The service
// never stops a Front itself. Open is safe for concurrent use; registration is not, and must precede Open.
type Front struct {
	name    string
	listen  func() (net.Listener, error)
	options FrontOptions
	calls   *calls
	failed  func(error)

	services []registration
	streams  map[string]bool // by full method, whether it is one
	info     map[string]grpc.ServiceInfo

	mu sync.Mutex
	// wanted: the service has opened. allowed: the kit lets it.
	wanted, allowed bool
	current         *desk
	former          []*desk
}

type registration struct {
	desc *grpc.ServiceDesc
	impl any
}

// RegisterService implements grpc.ServiceRegistrar.
func (f *Front) RegisterService(desc *grpc.ServiceDesc, impl any) {
	f.services = append(f.services, registration{desc, impl})
	info := grpc.ServiceInfo{Metadata: desc.Metadata}
	for _, m := range desc.Methods {
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
	}
	for _, s := range desc.Streams {
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: s.StreamName, IsClientStream: s.ClientStreams, IsServerStream: s.ServerStreams})
		f.streams["/"+desc.ServiceName+"/"+s.StreamName] = true
	}
	f.info[desc.ServiceName] = info
}

// GetServiceInfo says what is registered, as grpc.Server does; reflection needs it.
func (f *Front) GetServiceInfo() map[string]grpc.ServiceInfo { return f.info }

// Open says that clients may come. They can once the component is active and not frozen. Opening twice changes nothing.
func (f *Front) Open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = true
	return f.serve()
}

// allow lets the front accept, as soon as the service wants it to.
func (f *Front) allow() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.allowed = true
	return f.serve()
}

// serve begins to accept if nothing stands against it. The lock is held.
func (f *Front) serve() error {
	if !f.wanted || !f.allowed || f.current != nil {
		return nil
	}
	l, err := f.listen()
	if err != nil {
		return err
	}
	d := newDesk(f.options.Credentials, l, f.serverOptions())
	for _, r := range f.services {
		d.server.RegisterService(r.desc, r.impl)
	}
	f.current = d
	go func() {
		if err := d.server.Serve(d.gate); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			f.failed(fmt.Errorf("socket %q: %w", f.name, err))
		}
	}()
	return nil
}

func (f *Front) serverOptions() []grpc.ServerOption {
	return append([]grpc.ServerOption{
		grpc.InTapHandle(f.tap),
		grpc.ChainUnaryInterceptor(f.calls.interceptUnary),
		grpc.ChainStreamInterceptor(f.calls.interceptStream),
	}, f.options.Server...)
}

// methodFreeze is not counted as a call in flight: it waits for those.
const methodFreeze = "/ashlar.lifecycle.v1.Lifecycle/Freeze"

// tap counts each call from its headers on. The service's own tap comes first: who is refused there is not counted.
func (f *Front) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if f.options.Tap != nil {
		var err error
		if ctx, err = f.options.Tap(ctx, info); err != nil {
			return nil, err
		}
	}
	switch method := info.FullMethodName; {
	case f.streams[method]:
		return f.calls.arriveStream(ctx, slices.Contains(f.options.Lasting, method))
	case method == methodFreeze:
		return ctx, nil
	}
	return f.calls.arrive(ctx), nil
}

// close stops accepting and tells connected clients to go. The channel is closed when none of them begins a call any more;
// calls that have begun go on. A connection that says nothing for the time of silence is closed; a client that does not
// answer is waited for no longer than patience.
func (f *Front) close(silence, patience time.Duration) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.allowed = false
	d := f.current
	if d == nil {
		return closedChannel()
	}
	f.current = nil
	f.former = append(slices.DeleteFunc(f.former, (*desk).isEmpty), d)
	go d.close(silence, patience)
	return d.quiet
}

// desks are the servers that may have connections.
func (f *Front) desks() []*desk {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		return slices.Clone(f.former)
	}
	return append(slices.Clone(f.former), f.current)
}

// end stops all at once, after the time of grace for what is still being sent.
func (f *Front) end(grace <-chan time.Time) {
	for _, d := range f.desks() {
		select {
		case <-d.empty:
		case <-grace:
			// The next ones need not wait either.
			grace = closedTime()
		}
	}
	f.stop()
}

func (f *Front) stop() {
	for _, d := range f.desks() {
		d.stop()
	}
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func closedTime() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}
