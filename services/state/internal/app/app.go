// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires the state component: engine, store, contract. Nothing else knows all three.
package app

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
	"github.com/ashlar-nos/ashlar/services/state/internal/api"
	"github.com/ashlar-nos/ashlar/services/state/internal/engine"
	"github.com/ashlar-nos/ashlar/services/state/internal/store"
)

const (
	// quotaBytes bounds the rows; the engine has room beyond it so that deleting stays possible.
	quotaBytes   = 512 << 20
	reserveBytes = 64 << 20
	// keepRevisions of history let a watch resume after an absence.
	keepRevisions = 10_000
	// drainLimit bounds the wait for calls in flight. What is left then is a watch whose reader stalls.
	drainLimit = 2 * time.Second
	// operator is the caller's name when root calls and is no component.
	operator = "operator"
)

// service implements kit.Service.
type service struct {
	engine *engine.Engine
	store  *store.Store
}

// New opens the store and registers its contract.
func New(ctx context.Context, rt *kit.Runtime) (kit.Service, error) {
	dir := rt.Layout.ComponentState(rt.Manifest.Name)
	e, err := engine.Open(ctx, engine.Config{Dir: dir, Log: rt.Log, QuotaBytes: quotaBytes + reserveBytes})
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s, err := store.Open(ctx, store.Config{Engine: e, Log: rt.Log, QuotaBytes: quotaBytes, KeepRevisions: keepRevisions})
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("open the store: %w", err)
	}
	rt.Metrics.MustRegister(newCollector(s))
	statev1.RegisterStateServer(rt.Server, api.New(s, callers(rt.Policy)))
	return &service{engine: e, store: s}, nil
}

// callers names the component behind a call by its user id.
func callers(policy *peer.Policy) api.Identity {
	return func(ctx context.Context) (string, error) {
		if name := policy.Component(ctx); name != "" {
			return name, nil
		}
		if id, ok := peer.FromContext(ctx); ok && id.Operator() {
			return operator, nil
		}
		return "", status.Error(codes.Unauthenticated, "the caller is no component of this device")
	}
}

// Run maintains the store until ctx ends. etcd's own end is a crash.
func (s *service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	maintained := make(chan struct{})
	go func() {
		defer close(maintained)
		s.store.Maintain(ctx)
	}()
	err := s.wait(ctx)
	cancel()
	<-maintained
	drain, done := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer done()
	s.store.Drain(drain)
	s.engine.Close()
	return err
}

func (s *service) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.engine.Failed():
		return fmt.Errorf("etcd: %w", err)
	case <-s.engine.Stopped():
		return fmt.Errorf("etcd has stopped")
	}
}

// Probe implements kit.Service.
func (s *service) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.store.Probe(ctx)
}
