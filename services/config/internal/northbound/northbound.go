// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package northbound serves the management API on one listening socket, within limits: connections, calls in
// flight, message and header size, time to shake hands. Connections of strangers have a budget of their own. Each call is counted and timed, a panic in one ends
// only that call, and nothing passes but through the access gate.
package northbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/access"
)

// The limits of one listener.
const (
	maxConnections = 512  // of those who proved who they are
	maxStrangers   = 256  // of all others
	maxFromSource  = 128  // strangers from one address
	maxCalls       = 1024 // in flight on one connection
	maxMessage     = 64 << 20
	maxHeaders     = 64 << 10
	handshakeLimit = 3 * time.Second
	// Clients may ping every second, with or without a call in flight.
	minPing = time.Second
	// A peer that is gone without a word is noticed within pingEvery + pingLimit.
	pingEvery = 30 * time.Second
	pingLimit = 20 * time.Second
	// stopLimit is how long calls in flight may take after Stop.
	stopLimit = 500 * time.Millisecond
)

// Server serves one listener.
type Server struct {
	name string
	grpc *grpc.Server
	log  *slog.Logger
}

// New returns a server of gNMI, with reflection. name is the listener's, for metrics and logs.
func New(name string, service pb.GNMIServer, gate *access.Gate, creds credentials.TransportCredentials,
	registry prometheus.Registerer, log *slog.Logger) *Server {
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"listener": name}, registry)
	calls := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(grpcprom.WithHistogramBuckets(
		[]float64{100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1, 5})))
	prometheus.WrapRegistererWithPrefix("ashlar_gnmi_", labelled).MustRegister(calls)
	guard := recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
		log.Error("panic in a call", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		return status.Error(codes.Internal, "internal error; the log of config has the details")
	})
	options := []grpc.ServerOption{
		grpc.Creds(newCapped(creds, limits{known: maxConnections, strangers: maxStrangers, perSource: maxFromSource},
			gate.Proven, labelled, log.With("listener", name))),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingLimit}),
		grpc.ChainUnaryInterceptor(calls.UnaryServerInterceptor(), recovery.UnaryServerInterceptor(guard)),
		grpc.ChainStreamInterceptor(calls.StreamServerInterceptor(), recovery.StreamServerInterceptor(guard)),
	}
	options = append(options, gate.Options()...)
	options = append(options, grpc.ChainUnaryInterceptor(welcomeUnary), grpc.ChainStreamInterceptor(welcomeStream))
	s := &Server{name: name, grpc: grpc.NewServer(options...), log: log}
	pb.RegisterGNMIServer(s.grpc, service)
	reflection.Register(s.grpc)
	calls.InitializeMetrics(s.grpc)
	return s
}

// Serve accepts connections until Stop. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	s.log.Info("serving gNMI", "listener", s.name, "address", l.Addr().String())
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("listener %s: %w", s.name, err)
	}
	return nil
}

// Stop accepts nothing new, gives calls in flight a moment, and ends them.
func (s *Server) Stop() {
	cut := time.AfterFunc(stopLimit, s.grpc.Stop)
	defer cut.Stop()
	s.grpc.GracefulStop()
}
