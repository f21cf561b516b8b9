// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"cmp"
	"context"
	"os"
	"runtime"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/services/kit/contract"
)

// lifecycle serves ashlar.lifecycle.v1.
type lifecycle struct {
	lifecyclev1.UnimplementedLifecycleServer
	rt *Runtime
}

func (l *lifecycle) Describe(context.Context, *lifecyclev1.DescribeRequest) (*lifecyclev1.DescribeResponse, error) {
	m := l.rt.Manifest
	out := &lifecyclev1.DescribeResponse{
		Component:    m.Name,
		Version:      m.Version,
		Started:      timestamppb.New(l.rt.started),
		Pid:          int32(os.Getpid()),
		FencingToken: l.rt.token.current(),
		Toolchain:    runtime.Version(),
	}
	for _, p := range m.Provides {
		digest := contract.Digest(p.Contract)
		out.Provides = append(out.Provides, &lifecyclev1.Contract{Name: p.Contract, Level: p.Level, DescriptorSha256: digest[:]})
	}
	return out, nil
}

func (l *lifecycle) Health(ctx context.Context, _ *lifecyclev1.HealthRequest) (*lifecyclev1.HealthResponse, error) {
	if err := l.rt.service.Probe(ctx); err != nil {
		return &lifecyclev1.HealthResponse{Reason: err.Error()}, nil
	}
	return &lifecyclev1.HealthResponse{Ready: true}, nil
}

func (l *lifecycle) Activate(_ context.Context, req *lifecyclev1.ActivateRequest) (*lifecyclev1.ActivateResponse, error) {
	if err := l.rt.token.raise(req.GetFencingToken()); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	if err := l.rt.stage.enter(); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	l.rt.Log.Info("activated", "token", req.GetFencingToken())
	return &lifecyclev1.ActivateResponse{}, nil
}

func (l *lifecycle) Freeze(ctx context.Context, req *lifecyclev1.FreezeRequest) (*lifecyclev1.FreezeResponse, error) {
	limit := cmp.Or(time.Duration(req.GetLimitMs())*time.Millisecond, defaultFreeze)
	if err := l.rt.stage.freeze(ctx, limit); err != nil {
		return nil, err
	}
	return &lifecyclev1.FreezeResponse{}, nil
}

func (l *lifecycle) Unfreeze(context.Context, *lifecyclev1.UnfreezeRequest) (*lifecyclev1.UnfreezeResponse, error) {
	l.rt.stage.unfreeze()
	return &lifecyclev1.UnfreezeResponse{}, nil
}

func (l *lifecycle) Drain(_ context.Context, req *lifecyclev1.DrainRequest) (*lifecyclev1.DrainResponse, error) {
	l.rt.stage.beginDrain(time.Duration(req.GetLimitMs()) * time.Millisecond)
	return &lifecyclev1.DrainResponse{}, nil
}

// watchInterval is how often a watched health is probed.
const watchInterval = time.Second

// health serves grpc.health.v1 from the same domain probe. The empty service name is the component.
type health struct {
	healthv1.UnimplementedHealthServer
	service Service
}

func (h *health) Check(ctx context.Context, req *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	if req.GetService() != "" {
		return nil, status.Errorf(codes.NotFound, "service %q: health is known for the component as a whole, the empty name", req.GetService())
	}
	return &healthv1.HealthCheckResponse{Status: h.status(ctx)}, nil
}

func (h *health) Watch(_ *healthv1.HealthCheckRequest, stream healthv1.Health_WatchServer) error {
	last := healthv1.HealthCheckResponse_UNKNOWN
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if now := h.status(stream.Context()); now != last {
			last = now
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-tick.C:
		}
	}
}

func (h *health) status(ctx context.Context) healthv1.HealthCheckResponse_ServingStatus {
	if h.service.Probe(ctx) != nil {
		return healthv1.HealthCheckResponse_NOT_SERVING
	}
	return healthv1.HealthCheckResponse_SERVING
}
