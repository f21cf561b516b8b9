// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires the configuration service: it is the one place that knows every part.
package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/access"
	"github.com/ashlar-nos/ashlar/services/config/internal/aggregate"
	"github.com/ashlar-nos/ashlar/services/config/internal/commit"
	"github.com/ashlar-nos/ashlar/services/config/internal/feed"
	"github.com/ashlar-nos/ashlar/services/config/internal/gnmi"
	"github.com/ashlar-nos/ashlar/services/config/internal/northbound"
	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/config/yang"
	"github.com/ashlar-nos/ashlar/services/kit"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
)

// firstState is how long serving waits for the state of the components that are there: a restart is then
// no gap in what clients read.
const firstState = 250 * time.Millisecond

// service is the running component, or one that waits beside it for the token: it follows everybody's state then, and
// reads the store, but writes nothing and knows no owner.
type service struct {
	rt         *kit.Runtime
	engine     *commit.Engine
	aggregator *aggregate.Aggregator
	tls        *access.TLSFiles
	fronts     []*kit.Front
	started    time.Time
	serving    atomic.Bool
}

// New wires the service. It is the kit's constructor.
func New(ctx context.Context, rt *kit.Runtime) (kit.Service, error) {
	return Construct(commit.Steps{})(ctx, rt)
}

// Construct returns a constructor whose commit calls the steps; tests let a process die at them.
func Construct(steps commit.Steps) kit.Constructor {
	return func(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
		model, err := schema.Load(yang.Files())
		if err != nil {
			return nil, fmt.Errorf("the models: %w", err)
		}
		state, err := rt.Dial("ashlar.state.v1")
		if err != nil {
			return nil, err
		}
		f := feed.New(model)
		registry := owners.NewRegistry()
		engine := commit.New(commit.Options{
			Model: model, Registry: registry, Store: store.New(state, rt.Token, rt.Log),
			Publish: f.PublishConfig, Log: rt.Log, Metrics: commit.NewMetrics(rt.Metrics), Steps: steps,
		})
		configv1.RegisterConfigServer(rt.Server, owners.NewServer(registry, engine, callerOf(rt.Policy), rt.Log))
		s := &service{
			rt: rt, engine: engine, started: time.Now(),
			aggregator: aggregate.New(f, rt.Layout.Roster(), rt.DialEndpoint, rt.Log, rt.Metrics),
		}
		return s, s.north(gnmi.NewServer(f, engine, gnmi.NewMetrics(rt.Metrics), rt.Log))
	}
}

// north makes the two listeners' fronts.
func (s *service) north(server *gnmi.Server) error {
	dir := s.rt.Layout.ComponentState(s.rt.Manifest.Name)
	users, err := access.NewUsers(filepath.Join(dir, "users.json"), s.rt.Log)
	if err != nil {
		return err
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ashlar_gnmi_refused_total", Help: "Calls refused for who made them, by gRPC code.",
	}, []string{"code"})
	s.rt.Metrics.MustRegister(refused)
	gate, err := access.NewGate(users, uidOf, func(c codes.Code) { refused.WithLabelValues(c.String()).Inc() }, s.rt.Log)
	if err != nil {
		return err
	}
	s.tls = access.NewTLSFiles(filepath.Join(dir, "tls"), s.rt.Log)
	for name, creds := range map[string]credentials.TransportCredentials{
		"local": peer.Credentials(), "gnmi": credentials.NewTLS(s.tls.ServerConfig()),
	} {
		north := northbound.New(name, server, gate, creds, s.rt.Metrics, s.rt.Log)
		front, err := s.rt.Front(name, north.Options())
		if err != nil {
			return err
		}
		north.Register(front)
		s.fronts = append(s.fronts, front)
	}
	return nil
}

// uidOf reads the user id behind a unix socket.
func uidOf(info credentials.AuthInfo) (uint32, bool) {
	local, ok := info.(peer.AuthInfo)
	return local.Identity.UID, ok
}

// callerOf names the component behind a call. The operator may attach too, under a name that no component has.
func callerOf(policy *peer.Policy) func(context.Context) string {
	return func(ctx context.Context) string {
		id, ok := peer.FromContext(ctx)
		if ok && !id.Operator() {
			if name := policy.Component(ctx); name != "" {
				return name
			}
			return fmt.Sprintf("uid-%d", id.UID)
		}
		return "operator"
	}
}

// Run loads the configuration once there is a token, finishes what was pending, serves, and drains.
func (s *service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.aggregator.Run(ctx) })
	group.Go(func() error {
		defer s.serving.Store(false)
		if _, err := s.rt.Token(ctx); err != nil {
			return nil // never activated
		}
		return s.engine.Run(ctx)
	})
	group.Go(func() error { return s.serve(ctx) })
	return group.Wait()
}

// serve opens the listeners once the engine is ready; until then clients wait in the sockets' backlog. Owners that are
// on their way are not waited for: a Set waits for them.
func (s *service) serve(ctx context.Context) error {
	select {
	case <-s.engine.Started():
	case <-ctx.Done():
		return nil
	}
	first, cancel := context.WithTimeout(ctx, firstState)
	s.aggregator.AwaitFirst(first)
	cancel()
	if err := s.tls.Err(); err != nil {
		s.rt.Log.Warn("only the unix socket can be used", "error", err)
	}
	for _, front := range s.fronts {
		if err := front.Open(); err != nil {
			return err
		}
	}
	s.serving.Store(true)
	return nil
}

// Probe implements kit.Service: the store is loaded, pending marks are finished, clients are served.
func (s *service) Probe(context.Context) error {
	if err := s.engine.Probe(); err != nil {
		return err
	}
	if !s.serving.Load() {
		return errors.New("the gNMI listeners are not open yet")
	}
	return nil
}
