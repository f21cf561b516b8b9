// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires the interface manager together.
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
	events     *kernel.Events
	history    *history.Store
	reconciler *reconcile.Reconciler
	ports      *ports.Syncer
	watch      *watch.Server
	handler    *ownership.Handler
	owner      *owner.Owner
}

// New builds the service; it changes nothing yet.
func New(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	dir := rt.Layout.ComponentState(rt.Manifest.Name)
	records, err := found.Open(dir)
	if errors.Is(err, found.ErrDamaged) {
		rt.Log.Error("interfaces cannot be put back as they were found", "error", err)
	} else if err != nil {
		return nil, err
	}
	conn, err := kernel.Open()
	if err != nil {
		return nil, err
	}
	events, err := kernel.Subscribe()
	if err != nil {
		return nil, err
	}
	dataplane, err := rt.Dial("ashlar.dataplane.v1")
	if err != nil {
		return nil, err
	}
	a := &app{rt: rt, conn: conn, events: events, history: history.Open(dir, rt.Log), watch: watch.New()}
	reporter := report.New(rt.Telemetry)
	a.reconciler = reconcile.New(conn, records, a.history, rt.Log, reconcile.NewMetrics(rt.Metrics), func(name string, v *reconcile.View) {
		a.watch.Tell(name, v)
		reporter.Tell(name, v)
	})
	a.ports = ports.NewSyncer(dataplane, rt.Token, rt.Log)
	a.handler = ownership.New(a.reconciler, a.judge(), a.ports, a.watch.Complete)
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
	if _, err := a.inventory(); err != nil {
		a.rt.Log.Error("no more interfaces can be configured", "error", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.events.Run(ctx, a.reconciler.Hear) })
	group.Go(func() error { a.reconciler.Run(ctx); return nil })
	group.Go(func() error { a.history.Run(ctx); return nil })
	group.Go(func() error { a.ports.Run(ctx); return nil })
	group.Go(func() error { return a.rt.Own(ctx, a.owner) })
	return group.Wait()
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
