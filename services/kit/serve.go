// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	streamGrace = 100 * time.Millisecond
	// scrapeLimit bounds the reading of one metrics request.
	scrapeLimit = 10 * time.Second
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
	rt.grpc = rt.newServer()
	rt.Server = rt.grpc
	service, err := construct(ctx, rt)
	if err != nil {
		return err
	}
	rt.serveOwn(service)
	if err := checkContracts(rt.Manifest, rt.grpc.GetServiceInfo()); err != nil {
		return err
	}
	return rt.supervise(asked, ctx, cancel, service)
}

// supervise serves and runs side by side until asked ends, and ends both in order.
func (rt *Runtime) supervise(asked, ctx context.Context, cancel context.CancelFunc, service Service) error {
	api, err := rt.Listener(socketAPI)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- rt.grpc.Serve(api) }()
	metrics := rt.serveMetrics()
	defer metrics.Close()
	go rt.returnSockets(ctx)

	ran := make(chan error, 1)
	go func() { ran <- runGuarded(ctx, service) }()
	select {
	case err := <-ran:
		return fmt.Errorf("the service ended by itself: %w", orEnded(err))
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-rt.drain:
	case <-asked.Done():
	}
	rt.Log.Info("draining", "limit", time.Duration(rt.Manifest.Drain).String())
	return rt.finish(cancel, ran)
}

// finish drains: nothing new is accepted and calls in flight end while the service still runs; then the service
// ends, and with it the streams it holds open. All of it takes no longer than the manifest's drain limit.
func (rt *Runtime) finish(cancel context.CancelFunc, ran <-chan error) error {
	limit, done := context.WithTimeout(context.Background(), time.Duration(rt.Manifest.Drain))
	defer done()
	defer rt.closeClients()
	defer rt.grpc.Stop()
	rt.Telemetry.End()
	stopped := make(chan struct{})
	go func() { rt.grpc.GracefulStop(); close(stopped) }()
	select {
	case <-rt.calls.none():
	case <-limit.Done():
	}
	cancel()
	select {
	case err := <-ran:
		if err != nil && !errors.Is(err, context.Canceled) {
			rt.Log.Warn("ended with an error while draining", "error", err)
		}
	case <-limit.Done():
		return errors.New("did not drain in time")
	}
	select {
	case <-stopped:
	case <-limit.Done():
	case <-time.After(streamGrace):
	}
	return nil
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

func (rt *Runtime) newServer() *grpc.Server {
	guard := recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		rt.Log.Error("panic in a call", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		return status.Errorf(codes.Internal, "%s: internal error, see its log", rt.Manifest.Name)
	})
	options := []grpc.ServerOption{
		grpc.Creds(peer.Credentials()),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(rt.calls.unary, rt.rpc.server.UnaryServerInterceptor(), recovery.UnaryServerInterceptor(guard), rt.Policy.Unary),
		grpc.ChainStreamInterceptor(rt.rpc.server.StreamServerInterceptor(), recovery.StreamServerInterceptor(guard), rt.Policy.Stream),
	}
	return grpc.NewServer(append(options, serverTraces()...)...)
}

// serveOwn registers what every component serves.
func (rt *Runtime) serveOwn(service Service) {
	lifecyclev1.RegisterLifecycleServer(rt.grpc, &lifecycle{rt: rt, service: service})
	healthv1.RegisterHealthServer(rt.grpc, &health{service: service})
	if _, ok := rt.Manifest.Level("ashlar.telemetry.v1"); ok {
		telemetryv1.RegisterTelemetryServer(rt.grpc, telemetry.NewServer(rt.Telemetry))
	}
	rt.rpc.server.InitializeMetrics(rt.grpc)
}

// serveMetrics answers Prometheus on the metrics socket, if the manifest has one.
func (rt *Runtime) serveMetrics() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(rt.Metrics, promhttp.HandlerOpts{Registry: rt.Metrics}))
	server := &http.Server{Handler: mux, ReadTimeout: scrapeLimit, WriteTimeout: scrapeLimit, MaxHeaderBytes: 8 << 10}
	if l, err := rt.Listener(socketMetrics); err == nil {
		go rt.logUnlessClosed(server.Serve, l)
	}
	return server
}

func (rt *Runtime) logUnlessClosed(serve func(net.Listener) error, l net.Listener) {
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		rt.Log.Error("metrics are not served", "error", err)
	}
}
