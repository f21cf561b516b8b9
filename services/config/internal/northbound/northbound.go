// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package northbound is the management API on one listening socket, within limits: connections, calls in
// flight, message and header size, time to shake hands. Connections of strangers have a budget of their own. Each call is counted and timed, a panic in one ends
// only that call, and nothing passes but through the access gate.
package northbound

import (
	"context"
	"fmt"
	"log/slog"
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
	"github.com/ashlar-nos/ashlar/services/kit"
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
)

// subscribe is the one stream that outlives a freeze and, while its limit lasts, a drain: it only reads.
const subscribe = "/gnmi.gNMI/Subscribe"

// Server is what stands on one listener. Who serves it makes a gRPC server, or one after another, with Options, and
// registers on each.
type Server struct {
	service pb.GNMIServer
	calls   *grpcprom.ServerMetrics
	options kit.FrontOptions
}

// Registrar is a gRPC server that can be asked what is registered on it.
type Registrar interface {
	grpc.ServiceRegistrar
	GetServiceInfo() map[string]grpc.ServiceInfo
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
	return &Server{service: service, calls: calls, options: kit.FrontOptions{
		Credentials: newCapped(creds, limits{known: maxConnections, strangers: maxStrangers, perSource: maxFromSource},
			gate.Proven, labelled, log.With("listener", name)),
		Tap: gate.Tap, Server: options, Lasting: []string{subscribe},
	}}
}

// Options are those of the gRPC server. Connections are counted over all servers together.
func (s *Server) Options() kit.FrontOptions { return s.options }

// Register puts the services on a gRPC server.
func (s *Server) Register(r Registrar) {
	pb.RegisterGNMIServer(r, s.service)
	reflection.Register(r)
	s.calls.InitializeMetrics(r)
}
