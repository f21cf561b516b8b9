// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires the state component: engine, store, contract. Nothing else knows all three.
//
// One data directory has one process, so the store is opened with the token: the supervisor gives it once the process
// before is gone. Calls that come meanwhile wait.
package app

import (
	"context"
	"errors"
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
	rt *kit.Runtime
	// opened is closed when engine and store are set.
	opened chan struct{}
	engine *engine.Engine
	store  *store.Store
}

// New registers the contract. It touches no file.
func New(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	s := &service{rt: rt, opened: make(chan struct{})}
	statev1.RegisterStateServer(rt.Server, api.New(s.await, callers(rt.Policy)))
	return s, nil
}

// await is the api's source.
func (s *service) await(ctx context.Context) (*store.Store, error) {
	select {
	case <-s.opened:
		return s.store, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open opens the data directory.
func (s *service) open(ctx context.Context) error {
	began := time.Now()
	dir := s.rt.Layout.ComponentState(s.rt.Manifest.Name)
	e, err := engine.Open(ctx, engine.Config{Dir: dir, Log: s.rt.Log, QuotaBytes: quotaBytes + reserveBytes})
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	st, err := store.Open(ctx, store.Config{Engine: e, Log: s.rt.Log, QuotaBytes: quotaBytes, KeepRevisions: keepRevisions})
	if err != nil {
		e.Close()
		return fmt.Errorf("open the store: %w", err)
	}
	s.rt.Metrics.MustRegister(newCollector(st))
	s.engine, s.store = e, st
	close(s.opened)
	s.rt.Log.Info("the store is open", "took", time.Since(began).String())
	return nil
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

// Run opens the store once there is a token and maintains it until ctx ends. etcd's own end is a crash.
func (s *service) Run(ctx context.Context) error {
	if _, err := s.rt.Token(ctx); err != nil {
		return nil // never activated
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

func (s *service) run(ctx context.Context) error {
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
	select {
	case <-s.opened:
	default:
		return errors.New("the store is not open yet")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.store.Probe(ctx)
}
