// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"os"
	"runtime"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	table "github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/services/kit/contract"
)

// lifecycle serves ashlar.lifecycle.v1 for the supervisor itself.
type lifecycle struct {
	lifecyclev1.UnimplementedLifecycleServer
	Config
}

func (l *lifecycle) Describe(context.Context, *lifecyclev1.DescribeRequest) (*lifecyclev1.DescribeResponse, error) {
	out := &lifecyclev1.DescribeResponse{
		Component: l.Manifest.Name,
		Version:   l.Manifest.Version,
		Started:   timestamppb.New(l.Started),
		Pid:       int32(os.Getpid()),
		Toolchain: runtime.Version(),
	}
	for _, p := range l.Manifest.Provides {
		digest := contract.Digest(p.Contract)
		out.Provides = append(out.Provides, &lifecyclev1.Contract{Name: p.Contract, Level: p.Level, DescriptorSha256: digest[:]})
	}
	return out, nil
}

// Health is ready when every component is: a supervisor's work is that the device runs.
func (l *lifecycle) Health(context.Context, *lifecyclev1.HealthRequest) (*lifecyclev1.HealthResponse, error) {
	for _, c := range l.Tree.Status().List() {
		if c.Phase == table.Ready || c.Absent {
			continue
		}
		reason := c.Name + " is " + c.Phase.String()
		if c.Reason != "" {
			reason += ": " + c.Reason
		}
		return &lifecyclev1.HealthResponse{Reason: reason}, nil
	}
	return &lifecyclev1.HealthResponse{Ready: true}, nil
}

func (l *lifecycle) Activate(context.Context, *lifecyclev1.ActivateRequest) (*lifecyclev1.ActivateResponse, error) {
	return nil, status.Error(codes.FailedPrecondition, "the supervisor issues fencing tokens and takes none: the lock on its state directory makes it the only one")
}

// Drain stops the device in order, as SIGTERM does.
func (l *lifecycle) Drain(context.Context, *lifecyclev1.DrainRequest) (*lifecyclev1.DrainResponse, error) {
	l.Stop()
	return &lifecyclev1.DrainResponse{}, nil
}
