// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires the host service together.
//
// Before the token it reads the machine, its configuration and the supervisor's list, and changes nothing: the host
// name is kept, and its record written, from the owner's first snapshot on.
package app

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	hostv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
	"github.com/ashlar-nos/ashlar/services/host/internal/clock"
	"github.com/ashlar-nos/ashlar/services/host/internal/explain"
	"github.com/ashlar-nos/ashlar/services/host/internal/hostname"
	"github.com/ashlar-nos/ashlar/services/host/internal/inventory"
	"github.com/ashlar-nos/ashlar/services/host/internal/ownership"
	"github.com/ashlar-nos/ashlar/services/host/internal/server"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

// second is how often the clock is told and the host name looked at.
const second = time.Second

type app struct {
	rt        *kit.Runtime
	keeper    *hostname.Keeper
	handler   *ownership.Handler
	owner     *owner.Owner
	inventory *inventory.Inventory
	server    *server.Server
	// changed asks for telling at once.
	changed chan struct{}
	trouble atomic.Pointer[error]
}

// New builds the service; it changes nothing yet.
func New(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	keeper, err := hostname.NewKeeper(rt.Layout.ComponentState(rt.Manifest.Name), rt.Log)
	if err != nil {
		return nil, err
	}
	a := &app{rt: rt, keeper: keeper, inventory: inventory.New(rt.Telemetry, rt.Log), server: server.New(), changed: make(chan struct{}, 1)}
	a.handler = ownership.New(keeper, a.wake)
	a.owner = owner.New([]string{ownership.Pattern}, a.handler)
	rt.Metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "ashlar_host_hostname_repairs_total",
		Help: "Times somebody else changed the host name and it was put back.",
	}, func() float64 { return float64(keeper.Repairs()) }))
	a.server.Why = explain.Explainer{Roster: rt.Roster, Dial: rt.Dial}.Why
	hostv1.RegisterHostServer(rt.Server, a.server)
	return a, nil
}

func (a *app) wake() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// Run implements kit.Service.
func (a *app) Run(ctx context.Context) error {
	defer a.server.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.rt.Own(ctx, a.owner) })
	group.Go(func() error { return a.inventory.Run(ctx, a.supervisor) })
	group.Go(func() error { a.tell(ctx); return nil })
	return group.Wait()
}

func (a *app) supervisor() (*grpc.ClientConn, error) { return a.rt.Dial("ashlar.supervisor.v1") }

// tell publishes the system's state each second, and when the configuration changed.
func (a *app) tell(ctx context.Context) {
	tick := time.NewTicker(second)
	defer tick.Stop()
	var c clock.Clock
	for {
		a.note(a.publish(&c))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-a.changed:
		}
	}
}

// note keeps the outcome for the probe; it logs what is new.
func (a *app) note(err error) {
	old := a.trouble.Swap(&err)
	if err != nil && (old == nil || *old == nil || (*old).Error() != err.Error()) {
		a.rt.Log.Error("the system's state is not as it should be", "error", err)
	}
}

func (a *app) publish(c *clock.Clock) error {
	name, nameErr := a.keeper.Repair()
	now, clockErr := c.Read()
	if err := errors.Join(nameErr, clockErr); err != nil {
		return err
	}
	a.rt.Telemetry.Publish(time.Now(), map[string]any{
		"/system/state/hostname":         name,
		"/system/state/current-datetime": now.Now,
		"/system/state/boot-time":        uint64(now.Boot.UnixNano()),
		"/system/state/up-time":          uint64(now.Up.Nanoseconds()),
	})
	return nil
}

// Probe implements kit.Service: the configuration is in effect and the clocks can be read.
func (a *app) Probe(context.Context) error {
	if !a.owner.Restored() {
		return errors.New("waiting for the configuration")
	}
	if err := a.trouble.Load(); err != nil {
		return *err
	}
	return nil
}
