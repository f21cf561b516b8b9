// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires ribd: sources → table → dataplane, and the contracts around it.
//
// Before the token the table follows its sources and nobody is told: no stream to the dataplane, no file. What
// would be programmed can be asked for (Rehearse).
package app

import (
	"context"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
	"github.com/ashlar-nos/ashlar/services/rib/internal/api"
	"github.com/ashlar-nos/ashlar/services/rib/internal/fib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/links"
	"github.com/ashlar-nos/ashlar/services/rib/internal/probe"
	"github.com/ashlar-nos/ashlar/services/rib/internal/producer"
	"github.com/ashlar-nos/ashlar/services/rib/internal/program"
	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/static"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

const (
	batchSize = 4096
	window    = 16
	// reapEvery is how often the roster is asked whether producers' components are still there.
	reapEvery = 2 * time.Second
)

// App is the whole of ribd.
type App struct {
	rt        *kit.Runtime
	rib       *rib.RIB
	links     *links.Links
	routes    *static.Routes
	owner     *owner.Owner
	producers *producer.Registry
	program   *program.Programmer
	probe     *probe.Probe
	api       *api.Server
	// active is closed when the right to program is here, ready when the sources have told enough to do it.
	active, ready chan struct{}
}

// New wires the service. It is a kit.Constructor.
func New(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	a := &App{rt: rt, active: make(chan struct{}), ready: make(chan struct{})}
	a.rib = rib.New(table.DefaultLimits(), fib.Config{BatchSize: batchSize, Window: window})
	probe.Hatch(a.rib)
	a.links = links.New(a.rib)
	a.routes = static.New(a.rib, a.links.Owns, rt.Telemetry)
	a.routes.ShowInstance()
	a.owner = owner.New(static.Patterns(), a.routes)
	var err error
	file := filepath.Join(rt.Layout.ComponentState(rt.Manifest.Name), "producers.json")
	a.producers, err = producer.New(a.rib, rt.Log, file, links.Connected, links.Local, static.Protocol, probe.Source)
	if err != nil {
		return nil, err
	}
	a.program = &program.Programmer{
		RIB: a.rib, Log: rt.Log, Token: rt.Token, Ready: a.ready, Complete: a.complete,
	}
	a.probe = &probe.Probe{RIB: a.rib, Missing: a.missing}
	commits := newCommitTime()
	a.routes.Committed = func(d time.Duration) { commits.Observe(d.Seconds()) }
	rt.Metrics.MustRegister(newMetrics(a), commits)
	a.api = &api.Server{RIB: a.rib, Producers: a.producers, Component: a.component}
	ribv1.RegisterRibServer(rt.Server, a.api)
	return a, nil
}

// component names the component that calls; the operator is none, though the supervisor has the same user id.
func (a *App) component(ctx context.Context) string {
	if id, ok := peer.FromContext(ctx); ok && id.Operator() {
		return ""
	}
	return a.rt.Policy.Component(ctx)
}

// Run implements kit.Service.
func (a *App) Run(ctx context.Context) error {
	interfaces, err := a.rt.Dial("ashlar.interfaces.v1")
	if err != nil {
		return err
	}
	dataplane, err := a.rt.Dial("ashlar.dataplane.v1")
	if err != nil {
		return err
	}
	a.program.Client = dataplanev1.NewDataplaneClient(dataplane)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.rt.Own(ctx, a.owner) })
	g.Go(func() error { return a.links.Run(ctx, a.rt.Log, interfacesv1.NewInterfacesClient(interfaces)) })
	g.Go(func() error { return a.routes.Follow(ctx) })
	g.Go(func() error { return a.program.Run(ctx) })
	g.Go(func() error {
		if err := a.activate(ctx); err != nil {
			return err
		}
		g.Go(func() error { return a.reap(ctx) })
		return a.awaitSources(ctx)
	})
	return g.Wait()
}

// activate waits for the right to program and takes over what the process before left.
func (a *App) activate(ctx context.Context) error {
	if _, err := a.rt.Token(ctx); err != nil {
		return err
	}
	if err := a.producers.Recall(); err != nil {
		return err
	}
	if awaited := a.producers.Awaited(); len(awaited) > 0 {
		a.rt.Log.Info("the dataplane keeps routes until their producers have repeated them", "producers", awaited)
	}
	close(a.active)
	return nil
}

// Probe implements kit.Service.
func (a *App) Probe(ctx context.Context) error { return a.probe.Check(ctx) }

// awaitSources opens the gate to the dataplane once the configuration and the interfaces are known. What was
// observed before the token does not count: a change may have been decided since. Producers are not waited for: they start after this component is ready.
func (a *App) awaitSources(ctx context.Context) error {
	for _, known := range []<-chan struct{}{a.routes.Restored(), a.links.Synced()} {
		select {
		case <-known:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	close(a.ready)
	return nil
}

// missing says what the sources have not told yet.
func (a *App) missing() string {
	switch {
	case !closed(a.routes.Restored()):
		return "waiting for the configuration"
	case !closed(a.links.Synced()):
		return "waiting for the interfaces"
	}
	return ""
}

// complete reports whether all routes there are have been told, so that the dataplane may sweep others.
func (a *App) complete() bool { return len(a.producers.Awaited()) == 0 }

// reap drops the routes of producers whose component was removed from the device.
func (a *App) reap(ctx context.Context) error {
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		roster, err := a.rt.Roster()
		if err != nil {
			a.rt.Log.Warn("cannot tell who is on the device", "error", err)
			continue
		}
		present := func(component string) bool {
			_, ok := roster.ByName(component)
			return ok
		}
		if err := a.producers.Reap(present); err != nil {
			a.rt.Log.Error("producers that left are not forgotten", "error", err)
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
