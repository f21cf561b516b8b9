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
	// scrapeLimit bounds the reading of one metrics request.
	scrapeLimit = 10 * time.Second
)

// Serve runs the whole component until ctx ends, a drain is asked for, or the service gives up.
func (rt *Runtime) Serve(ctx context.Context, construct Constructor) error {
	ctx, cancel := context.WithCancel(ctx)
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
	return rt.supervise(ctx, cancel, service)
}

// supervise serves and runs side by side, and ends both in order.
func (rt *Runtime) supervise(ctx context.Context, cancel context.CancelFunc, service Service) error {
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
		if ctx.Err() == nil {
			return fmt.Errorf("the service ended by itself: %w", orEnded(err))
		}
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-rt.drain:
		cancel()
	case <-ctx.Done():
	}
	rt.Log.Info("draining", "limit", time.Duration(rt.Manifest.Drain).String())
	return rt.finish(cancel, ran)
}

// finish waits for the service and for calls in flight, no longer than the manifest's drain limit.
func (rt *Runtime) finish(cancel context.CancelFunc, ran <-chan error) error {
	cancel()
	limit := time.After(time.Duration(rt.Manifest.Drain))
	select {
	case err := <-ran:
		if err != nil && !errors.Is(err, context.Canceled) {
			rt.Log.Warn("ended with an error while draining", "error", err)
		}
	case <-limit:
		rt.grpc.Stop()
		return errors.New("did not drain in time")
	}
	rt.Telemetry.End()
	stopped := make(chan struct{})
	go func() { rt.grpc.GracefulStop(); close(stopped) }()
	select {
	case <-stopped:
	case <-limit:
		rt.grpc.Stop()
	}
	rt.closeClients()
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
		grpc.ChainUnaryInterceptor(rt.rpc.server.UnaryServerInterceptor(), recovery.UnaryServerInterceptor(guard), rt.Policy.Unary),
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
