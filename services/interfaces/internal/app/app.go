// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires the interface manager together.
//
// Before the token it reads the kernel and the configuration, and writes nothing: neither a link nor a file. Its
// files are not even read before, since the process that holds the right to write them may still do so.
package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/admission"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/found"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/history"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/ownership"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/ports"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/reconcile"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/report"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/watch"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

type app struct {
	rt         *kit.Runtime
	conn       *kernel.Conn
	history    *history.Store
	reconciler *reconcile.Reconciler
	ports      *ports.Syncer
	watch      *watch.Server
	handler    *ownership.Handler
	owner      *owner.Owner
	// begun is closed once the right to change the kernel is here, and files and predecessor are taken over.
	begun    chan struct{}
	imported imported
}

// New builds the service; it changes nothing yet.
func New(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	conn, err := kernel.Open()
	if err != nil {
		return nil, err
	}
	dataplane, err := rt.Dial("ashlar.dataplane.v1")
	if err != nil {
		return nil, err
	}
	dir := rt.Layout.ComponentState(rt.Manifest.Name)
	a := &app{rt: rt, conn: conn, history: history.New(dir, rt.Log), watch: watch.New(), begun: make(chan struct{})}
	reporter := report.New(rt.Telemetry)
	a.reconciler = reconcile.New(conn, found.New(dir), a.history, rt.Log, reconcile.NewMetrics(rt.Metrics), func(name string, v *reconcile.View) {
		a.watch.Tell(name, v)
		reporter.Tell(name, v)
	})
	a.ports = ports.NewSyncer(dataplane, rt.Token, rt.Log)
	a.handler = ownership.New(a.reconciler, a.judge(), a.ports, a.begun, a.watch.Complete)
	a.owner = owner.New([]string{ownership.Pattern}, a.handler)
	rt.Metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "ashlar_interfaces_kernel_writes_total",
		Help: "Requests to the kernel to change a link, an address or a neighbour.",
	}, func() float64 { return float64(conn.Writes()) }))
	interfacesv1.RegisterInterfacesServer(rt.Server, a.watch)
	return a, nil
}

func (a *app) judge() admission.Judge {
	return admission.Judge{
		Inventory: a.inventory,
		Known:     a.reconciler.Known,
		Link:      a.conn.LinkByName,
		Occupied:  a.occupied,
	}
}

func (a *app) inventory() (admission.Inventory, error) {
	return admission.LoadInventory(a.rt.Layout.Init())
}

// occupied returns the subnets on every link.
func (a *app) occupied() (map[string][]netip.Prefix, error) {
	links, err := a.conn.Links()
	if err != nil {
		return nil, err
	}
	addresses, err := a.conn.AddressesByLink()
	if err != nil {
		return nil, err
	}
	out := map[string][]netip.Prefix{}
	for _, l := range links {
		for _, address := range addresses[l.Index] {
			if !address.Prefix.Addr().IsLoopback() {
				out[l.Name] = append(out[l.Name], address.Prefix)
			}
		}
	}
	return out, nil
}

// Run implements kit.Service.
func (a *app) Run(ctx context.Context) error {
	defer a.conn.Close()
	defer a.watch.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.rt.Own(ctx, a.owner) })
	group.Go(func() error {
		if _, err := a.rt.Token(ctx); err != nil {
			return err
		}
		events, err := a.begin()
		if err != nil {
			return err
		}
		group.Go(func() error { return events.Run(ctx, a.reconciler.Hear) })
		group.Go(func() error { a.reconciler.Run(ctx); return nil })
		group.Go(func() error { a.history.Run(ctx); return nil })
		group.Go(func() error { a.ports.Run(ctx); return nil })
		close(a.begun)
		return nil
	})
	return group.Wait()
}

// begin takes over what an earlier process left, and listens to the kernel from then on.
func (a *app) begin() (*kernel.Events, error) {
	if _, err := a.inventory(); err != nil {
		a.rt.Log.Error("no more interfaces can be configured", "error", err)
	}
	if err := a.reconciler.Records(a.recall); err != nil {
		return nil, err
	}
	a.history.Load()
	if a.imported.history != nil {
		if err := a.history.Import(a.imported.history); err != nil {
			return nil, err
		}
	}
	return kernel.Subscribe()
}

// recall reads what is on disk, and what the predecessor handed over, which is the same unless the file is damaged.
func (a *app) recall(records *found.Store) error {
	err := records.Load()
	if errors.Is(err, found.ErrDamaged) {
		a.rt.Log.Error("interfaces cannot be put back as they were found", "error", err)
	} else if err != nil {
		return err
	}
	if a.imported.found == nil {
		return nil
	}
	return records.Adopt(a.imported.found)
}

// Probe implements kit.Service: the configuration is in effect, or pending, and the dataplane has the ports.
// Configuration of interfaces that may not be configured is not in effect.
func (a *app) Probe(context.Context) error {
	if !a.owner.Restored() {
		return errors.New("waiting for the configuration")
	}
	if err := a.handler.Denied(); err != nil {
		return err
	}
	if err := a.reconciler.Trouble(); err != nil {
		return err
	}
	if err := a.ports.Accepted(); err != nil {
		return fmt.Errorf("ports: %w", err)
	}
	return nil
}
