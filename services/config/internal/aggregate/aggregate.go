// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package aggregate gathers the state of every component of the device: it subscribes to
// ashlar.telemetry.v1 wherever the roster says that it is served, and puts what it hears into the feed. While a
// component is away, the last known values stand. Its snapshot replaces them leaf by leaf; what it lacks is swept a
// little later, for a component that is being replaced or started anew is heard before it has looked around (mark and
// sweep, after the end of a snapshot only). What a component said goes when the component leaves the roster.
//
// One goroutine follows each component; a component that is slow or mute delays only its own state.
package aggregate

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/ashlar-nos/ashlar/services/config/internal/feed"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// contract is what is subscribed to.
const contract = "ashlar.telemetry.v1"

// rosterEvery is how often the roster file is looked at for a change.
const rosterEvery = 250 * time.Millisecond

// settling is how long after a snapshot a component may take to publish again what it published before.
const settling = 3 * time.Second

// Dialer connects to a component's socket.
type Dialer func(socket string) (*grpc.ClientConn, error)

// Aggregator follows the components of a roster.
type Aggregator struct {
	feed   *feed.Feed
	file   string
	dial   Dialer
	log    *slog.Logger
	synced *prometheus.GaugeVec
	leaves *prometheus.CounterVec

	settling time.Duration
	// looked is closed once the roster was read, or found to be missing.
	looked chan struct{}

	mu        sync.Mutex
	followers map[string]*follower
	next      tree.Publisher
	// read is the roster file as it was read last.
	read os.FileInfo
}

// New returns an aggregator of the components in the roster file.
func New(f *feed.Feed, file string, dial Dialer, log *slog.Logger, registry prometheus.Registerer) *Aggregator {
	a := &Aggregator{
		feed: f, file: file, dial: dial, log: log, followers: map[string]*follower{}, looked: make(chan struct{}), settling: settling,
		synced: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ashlar_telemetry_synced", Help: "1 while a component's state is followed and complete.",
		}, []string{"component"}),
		leaves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ashlar_telemetry_leaves_total", Help: "State leaves received from a component, by result: taken or refused.",
		}, []string{"component", "result"}),
	}
	registry.MustRegister(a.synced, a.leaves)
	return a
}

// Run follows the roster until ctx ends.
func (a *Aggregator) Run(ctx context.Context) error {
	ticker := time.NewTicker(rosterEvery)
	defer ticker.Stop()
	a.look(ctx)
	close(a.looked)
	for {
		select {
		case <-ticker.C:
			a.look(ctx)
		case <-ctx.Done():
			a.leaveAll()
			return nil
		}
	}
}

// look reads the roster if it changed and starts and stops followers.
func (a *Aggregator) look(ctx context.Context) {
	info, err := os.Stat(a.file)
	if err != nil || a.read != nil && os.SameFile(info, a.read) && info.ModTime().Equal(a.read.ModTime()) {
		return
	}
	r, err := roster.Load(a.file)
	if err != nil {
		a.log.Warn("the roster is not readable", "error", err)
		return
	}
	a.read = info
	present := map[string]bool{}
	for _, c := range r.Providers(contract) {
		present[c.Name] = true
		a.follow(ctx, c)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, f := range a.followers {
		if !present[name] {
			a.drop(name, f)
		}
	}
}

// follow starts a follower, or a new one when the component moved.
func (a *Aggregator) follow(ctx context.Context, c roster.Component) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f, ok := a.followers[c.Name]; ok {
		if f.socket == c.Endpoint {
			return
		}
		a.drop(c.Name, f)
	}
	ctx, cancel := context.WithCancel(ctx)
	a.next++
	f := &follower{
		aggregator: a, name: c.Name, socket: c.Endpoint, publisher: a.next,
		cancel: cancel, ended: make(chan struct{}), first: make(chan struct{}),
	}
	a.followers[c.Name] = f
	go func() {
		defer close(f.ended)
		f.followOn(ctx)
	}()
}

// drop ends a follower and forgets what it heard. The lock is held.
func (a *Aggregator) drop(name string, f *follower) {
	f.cancel()
	<-f.ended
	delete(a.followers, name)
	a.synced.DeleteLabelValues(name)
	a.feed.EditState(func(e *tree.StateEdit) { e.Drop(f.publisher) })
}

func (a *Aggregator) leaveAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.followers {
		f.cancel()
		<-f.ended
	}
}

// Missing are the components whose state was not yet heard whole.
func (a *Aggregator) Missing() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for name, f := range a.followers {
		select {
		case <-f.first:
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// AwaitFirst waits until every component's state was heard whole once, or ctx ends.
func (a *Aggregator) AwaitFirst(ctx context.Context) {
	select {
	case <-a.looked:
	case <-ctx.Done():
		return
	}
	a.mu.Lock()
	var waits []chan struct{}
	for _, f := range a.followers {
		waits = append(waits, f.first)
	}
	a.mu.Unlock()
	for _, w := range waits {
		select {
		case <-w:
		case <-ctx.Done():
			return
		}
	}
}
