// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package pkgapp wires the package manager. Before its token a process has opened nothing: what it would read
// is still being written by the one before it.
package pkgapp

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/gates"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generations"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/matrix"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/packages"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/publish"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

type app struct {
	rt     *kit.Runtime
	server *packages.Server
	open   atomic.Bool
}

// New implements kit.Constructor.
func New(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	a := &app{rt: rt, server: packages.New()}
	pkgv1.RegisterPackagesServer(rt.Server, a.server)
	return a, nil
}

// Probe implements kit.Service: ready when requests are taken. An operation that goes on meanwhile is no reason to wait.
func (a *app) Probe(context.Context) error {
	if !a.open.Load() {
		return errors.New("waiting for the token")
	}
	return nil
}

// Run implements kit.Service.
func (a *app) Run(ctx context.Context) error {
	if _, err := a.rt.Token(ctx); err != nil {
		return nil // ended before it was its turn
	}
	parts, err := a.parts()
	if err != nil {
		return err
	}
	a.server.Open(parts)
	a.open.Store(true)
	told := make(chan struct{})
	go func() {
		defer close(told)
		a.server.Observe(ctx, publish.New(a.rt.Telemetry).Observe)
	}()
	parts.Engine.Run(ctx)
	<-told
	return nil
}

// parts opens everything, for writing.
func (a *app) parts() (packages.Parts, error) {
	dir := a.rt.Layout.ComponentState(a.rt.Manifest.Name)
	st, err := store.Open(dir)
	if err != nil {
		return packages.Parts{}, err
	}
	for _, fault := range st.Faults() {
		a.rt.Log.Warn("an entry of the store is left out", "error", fault)
	}
	if err := st.Prepare(); err != nil {
		return packages.Parts{}, err
	}
	gens, err := generations.Open(dir)
	if err != nil {
		return packages.Parts{}, err
	}
	clock, err := engine.SystemClock()
	if err != nil {
		return packages.Parts{}, err
	}
	conn, err := a.rt.Dial("ashlar.supervisor.v1")
	if err != nil {
		return packages.Parts{}, fmt.Errorf("the supervisor: %w", err)
	}
	supervisor := supervisorv1.NewSupervisorClient(conn)
	e, err := engine.Open(engine.Config{
		Dir: dir, Store: st, Generations: gens, Supervisor: supervisor, Clock: clock, Log: a.rt.Log,
		Judge: matrix.New(st.Evidence, st.Packages), Gates: gates.New(a.rt.Layout, supervisor),
	})
	if err != nil {
		return packages.Parts{}, err
	}
	return packages.Parts{Engine: e, Store: st, Generations: gens, Supervisor: supervisor, Now: clock.Now}, nil
}
