// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
	"github.com/ashlar-nos/ashlar/services/kit/telemetry"
)

const (
	// maxMessage bounds one message between components, in bytes.
	maxMessage = 64 << 20
	// maxStreams bounds the calls in flight on one connection.
	maxStreams = 1024
	// streamGrace is how long streams may take to end once the service has.
	streamGrace = 250 * time.Millisecond
	// lifeGrace is how long the answer to the supervisor's last call may take.
	lifeGrace = 250 * time.Millisecond
	// handshakeLimit bounds the time from a connection to its first frame.
	handshakeLimit = 3 * time.Second
)

// Serve runs the whole component until asked ends, a drain is asked for, or the service gives up.
func (rt *Runtime) Serve(asked context.Context, construct Constructor) error {
	// The service outlives the request to end: calls in flight need it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(asked))
	defer cancel()
	stopTraces, err := rt.startTraces(ctx)
	if err != nil {
		return err
	}
	defer stopTraces()
	api := rt.stage.add(rt.newFront(socketAPI, rt.frontOptions(), rt.stage.calls))
	rt.Server = api
	if rt.service, err = construct(ctx, rt); err != nil {
		return err
	}
	rt.registerOwn(api)
	if err := checkContracts(rt.Manifest, api.GetServiceInfo()); err != nil {
		return err
	}
	if err := api.Open(); err != nil {
		return err
	}
	life, err := rt.reachable()
	if err != nil {
		return err
	}
	return rt.supervise(asked, ctx, cancel, life)
}

// reachable lets the supervisor speak to the process: on a socket of its own, where clients come in with the token. A
// process without one is open to everybody from the start.
func (rt *Runtime) reachable() (*Front, error) {
	life := rt.newFront(socketLifecycle, rt.frontOptions(), newCalls(rt.Manifest.Name))
	if !rt.has(socketLifecycle) {
		return life, rt.stage.enter()
	}
	rt.registerLifecycle(life)
	return life, errors.Join(life.Open(), life.allow())
}

// supervise runs the service until asked ends, a drain is asked for or something breaks.
func (rt *Runtime) supervise(asked, ctx context.Context, cancel context.CancelFunc, life *Front) error {
	go rt.returnSockets(ctx)
	ran := make(chan error, 1)
	go func() { ran <- runGuarded(ctx, rt.service) }()
	select {
	case err := <-ran:
		defer rt.collapse(life)
		return fmt.Errorf("the service ended by itself: %w", orEnded(err))
	case err := <-rt.broken:
		defer rt.collapse(life)
		return fmt.Errorf("serving: %w", err)
	case <-rt.stage.draining:
	case <-asked.Done():
		rt.stage.beginDrain(0)
	}
	limit := cmp.Or(rt.stage.drainLimit, time.Duration(rt.Manifest.Drain))
	rt.Log.Info("draining", "limit", limit.String())
	return rt.finish(cancel, ran, life, limit)
}

// finish drains: nothing new is accepted and calls in flight end while the service still runs; then streams are cut and
// the service ends. All of it takes no longer than the limit.
func (rt *Runtime) finish(cancel context.CancelFunc, ran <-chan error, life *Front, limit time.Duration) error {
	bound, done := context.WithTimeout(context.Background(), limit)
	defer done()
	defer rt.closeClients()
	defer rt.hangUp(life)
	rt.stage.leave(bound, limit)
	cancel()
	select {
	case err := <-ran:
		if err != nil && !errors.Is(err, context.Canceled) {
			rt.Log.Warn("ended with an error while draining", "error", err)
		}
	case <-bound.Done():
		return errors.New("did not drain in time")
	}
	return nil
}

// hangUp closes all connections, the supervisor's last.
func (rt *Runtime) hangUp(life *Front) {
	rt.stage.end()
	life.close(0, 0)
	life.calls.end(closedContext())
	life.end(time.After(lifeGrace))
}

func (rt *Runtime) collapse(life *Front) {
	rt.stage.collapse()
	life.stop()
}

func closedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("no reason given")
	}
	return err
}

// runGuarded turns a panic of the service into an error that is logged with its stack.
func runGuarded(ctx context.Context, service Service) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return service.Run(ctx)
}

// frontOptions are those of the fronts that components and the operator call.
func (rt *Runtime) frontOptions() FrontOptions {
	guard := recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		rt.Log.Error("panic in a call", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		return status.Errorf(codes.Internal, "%s: internal error, see its log", rt.Manifest.Name)
	})
	options := []grpc.ServerOption{
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(rt.rpc.server.UnaryServerInterceptor(), recovery.UnaryServerInterceptor(guard), rt.Policy.Unary),
		grpc.ChainStreamInterceptor(rt.rpc.server.StreamServerInterceptor(), recovery.StreamServerInterceptor(guard), rt.Policy.Stream),
	}
	return FrontOptions{Credentials: peer.Credentials(), Server: append(options, serverTraces()...)}
}

// registerOwn registers what every component serves.
func (rt *Runtime) registerOwn(api *Front) {
	rt.registerLifecycle(api)
	if _, ok := rt.Manifest.Level("ashlar.telemetry.v1"); ok {
		telemetryv1.RegisterTelemetryServer(api, telemetry.NewServer(rt.Telemetry))
	}
	rt.rpc.server.InitializeMetrics(api)
}

func (rt *Runtime) registerLifecycle(f *Front) {
	lifecyclev1.RegisterLifecycleServer(f, &lifecycle{rt: rt})
	healthv1.RegisterHealthServer(f, &health{service: rt.service})
}
