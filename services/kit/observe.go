// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"os"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
)

// rpcMetrics count and time every call at both of its ends.
type rpcMetrics struct {
	server *grpcprom.ServerMetrics
	client *grpcprom.ClientMetrics
}

// callBuckets are seconds, from 50 µs: calls between components are short.
var callBuckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1, 5}

func newRPCMetrics(registry *prometheus.Registry) *rpcMetrics {
	m := &rpcMetrics{
		server: grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(grpcprom.WithHistogramBuckets(callBuckets))),
		client: grpcprom.NewClientMetrics(grpcprom.WithClientHandlingTimeHistogram(grpcprom.WithHistogramBuckets(callBuckets))),
	}
	registry.MustRegister(m.server, m.client)
	return m
}

// traceEndpoint switches traces on; it is the variable that OpenTelemetry itself defines.
const traceEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"

// startTraces exports spans when the environment names a collector. The returned function flushes them.
func (rt *Runtime) startTraces(ctx context.Context) (stop func(), err error) {
	if os.Getenv(traceEndpoint) == "" {
		return func() {}, nil
	}
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	provider := trace.NewTracerProvider(
		trace.WithBatcher(exporter),
		trace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", rt.Manifest.Daemon),
			attribute.String("service.version", rt.Manifest.Version),
		)),
	)
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return func() {
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := provider.Shutdown(flush); err != nil {
			rt.Log.Warn("traces were not flushed", "error", err)
		}
	}, nil
}

// Spans cost time on every call, so the hooks are there only when somebody collects them.
func serverTraces() []grpc.ServerOption {
	if os.Getenv(traceEndpoint) == "" {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler())}
}

func clientTraces() []grpc.DialOption {
	if os.Getenv(traceEndpoint) == "" {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler())}
}
