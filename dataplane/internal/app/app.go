// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires the dataplane: pins, engine, the kernel's links and routes, contract, telemetry. Nothing
// else knows them all.
//
// The tables have one writer. A process that was not activated has no right to them: until the token comes it
// has the kernel check and load its program, so that nothing of that is left to do when the tables are free, and
// leaves pins, links and tables alone. From the token until the tables are taken over, calls wait.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sync/errgroup"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/retry"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
	"github.com/ashlar-nos/ashlar/dataplane/internal/grace"
	"github.com/ashlar-nos/ashlar/dataplane/internal/kernelroutes"
	"github.com/ashlar-nos/ashlar/dataplane/internal/losses"
	"github.com/ashlar-nos/ashlar/dataplane/internal/neighbors"
	"github.com/ashlar-nos/ashlar/dataplane/internal/pins"
	"github.com/ashlar-nos/ashlar/dataplane/internal/publish"
	"github.com/ashlar-nos/ashlar/dataplane/internal/serve"
	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

const (
	// auditEvery lies between two of the 256 steps of an audit.
	auditEvery = 50 * time.Millisecond
	// portsEvery lies between attempts to attach what could not be attached.
	portsEvery = 2 * time.Second
)

// service implements kit.Service.
type service struct {
	rt      *kit.Runtime
	server  *serve.Server
	outlook atomic.Pointer[outlook]
	running atomic.Pointer[running]
}

// running is everything after activation.
type running struct {
	store  *pins.Store
	engine *engine.Engine
	grace  *grace.Waiter
	mirror *kernelroutes.Mirror
	canary canary
	log    *slog.Logger
	// known is closed once links and neighbours are known.
	known chan struct{}
}

// New registers the contract.
func New(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	s := &service{rt: rt, server: serve.New()}
	dataplanev1.RegisterDataplaneServer(rt.Server, s.server)
	return s, nil
}

// Run implements kit.Service.
func (s *service) Run(ctx context.Context) error {
	store, err := prepare(s.rt.Layout.PinDir(), s.rt.Log)
	s.outlook.Store(newOutlook(store, err))
	if _, err := s.rt.Token(ctx); err != nil {
		if store != nil {
			store.Close()
		}
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	begin := time.Now()
	r, err := s.start(store)
	if err != nil {
		return err
	}
	defer r.close()
	s.rt.Log.Info("tables are taken over", "adopted", r.store.Adopted, "tables", r.engine.Describe(), "took", time.Since(begin))
	publisher := publish.New(r.engine, s.rt.Telemetry, tables.ProgramHash(), r.store.Adopted, r.usage, s.rt.Log)
	s.rt.Metrics.MustRegister(publisher, r.mirror)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.follow(ctx, func() { s.begin(r) }) })
	group.Go(func() error { return r.engine.Reclaim(ctx) })
	group.Go(func() error { return r.maintain(ctx) })
	group.Go(func() error { return publisher.Run(ctx) })
	group.Go(func() error {
		// Before links are known every route seems to lead nowhere: the kernel's would be taken away.
		select {
		case <-r.known:
			retry.Forever(ctx, s.rt.Log, "mirror routes into the kernel", r.mirror.Run)
		case <-ctx.Done():
		}
		return nil
	})
	return group.Wait()
}

// begin answers calls from now on: links and neighbours are known.
func (s *service) begin(r *running) {
	if s.running.Swap(r) == r {
		return
	}
	close(r.known)
	s.server.Begin(serve.Backend{
		Engine: r.engine, Program: serve.Program{Hash: tables.ProgramHash(), Adopted: r.store.Adopted}, Extra: r.usage,
	})
}

// prepare does what needs no right to write.
func prepare(directory string, log *slog.Logger) (*pins.Store, error) {
	// Kernels since 5.11 account BPF memory to control groups; where raising the limit is refused it is not needed.
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Debug("the limit on locked memory stays", "err", err)
	}
	return pins.Prepare(directory, log)
}

// start takes over what is pinned, or makes it. What could not be prepared before the token is tried again.
func (s *service) start(store *pins.Store) (*running, error) {
	if store == nil {
		var err error
		if store, err = prepare(s.rt.Layout.PinDir(), s.rt.Log); err != nil {
			return nil, err
		}
	}
	r := &running{store: store, grace: &grace.Waiter{}, log: s.rt.Log, known: make(chan struct{})}
	if err := r.take(); err != nil {
		r.close()
		return nil, err
	}
	r.mirror = kernelroutes.New(r.engine, r.log)
	r.canary = canary{program: store.Objects.Program, engine: r.engine}
	return r, nil
}

func (r *running) take() error {
	if err := r.store.Take(); err != nil {
		return err
	}
	var err error
	if r.engine, err = r.newEngine(); err != nil {
		r.log.Error("the pinned tables cannot be trusted; making new ones beside", "err", err)
		if err := r.store.Renew(); err != nil {
			return err
		}
		if r.engine, err = r.newEngine(); err != nil {
			return err
		}
	}
	if err := losses.Watch(r.store.Tree(), r.store.Objects, r.store.Memory); err != nil {
		r.log.Warn("frames that the drivers do not take are counted as forwarded", "err", err)
	}
	return nil
}

func (r *running) newEngine() (*engine.Engine, error) {
	return engine.New(r.store.Memory, engine.Options{
		Limits: engine.DefaultLimits(), Attacher: r.store, Grace: r.grace.Wait, Log: r.log,
	})
}

func (r *running) close() {
	r.store.Close()
	r.grace.Close()
}

// follow keeps following the kernel; the subscription is made again when it breaks.
func (r *running) follow(ctx context.Context, synced func()) error {
	f := neighbors.New(r.engine, r.log)
	retry.Forever(ctx, r.log, "follow links and neighbours", func(ctx context.Context) error { return f.Run(ctx, synced) })
	return nil
}

// maintain audits and retries.
func (r *running) maintain(ctx context.Context) error {
	audit, ports := time.NewTicker(auditEvery), time.NewTicker(portsEvery)
	defer audit.Stop()
	defer ports.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ports.C:
			r.engine.RetryPorts()
		case <-audit.C:
			repaired, err := r.engine.AuditStep()
			if err != nil {
				r.log.Error("the tables differ from what was programmed and cannot be mended", "err", err)
			}
			if repaired > 0 {
				r.log.Error("the tables differed from what was programmed and were mended", "entries", repaired)
			}
		}
	}
}

// usage is the limits that the engine does not keep.
func (r *running) usage() []engine.Usage {
	mirrored, _, _ := r.mirror.Usage()
	return []engine.Usage{{Name: "kernel-routes", Used: mirrored, Limit: kernelroutes.Limit}}
}

// Probe implements kit.Service: ports are attached, and a test packet passes through program and tables.
func (s *service) Probe(context.Context) error {
	r := s.running.Load()
	if r == nil {
		return errors.New("waiting for the token, or for the kernel's links")
	}
	for _, p := range r.engine.Ports() {
		if p.Link.Index != 0 && !p.Attached {
			return fmt.Errorf("port %s is not attached: %s", p.Name, p.Reason)
		}
	}
	return r.canary.run()
}
