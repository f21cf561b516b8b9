// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package producer keeps the routes of protocols that run in other processes.
//
// A producer opens a session with a generation that only grows. Its routes outlive the session: a producer
// that crashed or is being replaced keeps forwarding, and what it does not repeat until its end of
// synchronisation is swept then, never by a timer. Its routes go at once when its component is removed from
// the device. A newer session of a producer ends the one before.
//
// The names of producers that are components are remembered on disk, so that after a restart the
// dataplane is not told to sweep their routes before they have repeated them. A Registry is safe for
// concurrent use.
package producer

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"sync"

	"github.com/ashlar-nos/ashlar/services/rib/internal/rib"
	"github.com/ashlar-nos/ashlar/services/rib/internal/table"
)

// The reasons why a session cannot be opened or goes on no more.
var (
	ErrName     = errors.New("not a name for a producer")
	ErrStale    = errors.New("a newer generation of the producer was seen")
	ErrReplaced = errors.New("a newer session of the producer has begun")
	ErrFull     = errors.New("too many producers")
)

// maxProducers bounds the registry.
const maxProducers = 256

var names = regexp.MustCompile(`^[a-z][a-z0-9._:-]{0,62}$`)

// Route is one route of a producer.
type Route struct {
	Prefix netip.Prefix
	Path   table.Path
}

// Failure is a route that the table cannot take.
type Failure struct {
	Prefix netip.Prefix
	Err    error
}

// Registry holds every producer.
type Registry struct {
	rib      *rib.RIB
	log      *slog.Logger
	file     string
	reserved []string

	mu        sync.Mutex
	producers map[string]*producer
	// awaited are producers of an earlier run that have not finished synchronising in this one, with their
	// components.
	awaited map[string]string
}

// producer is one protocol instance.
type producer struct {
	name       string
	component  string // "" when it is not a component
	generation uint64
	synced     uint64 // generation whose end of synchronisation was applied
	mark       uint32
	session    *Session
}

// Session is one stream of a producer.
type Session struct {
	registry *Registry
	producer *producer
	distance uint8
	mark     uint32
	replaced chan struct{}
}

// New returns the registry that an earlier run left in the file. Reserved names are no producer's.
func New(r *rib.RIB, log *slog.Logger, file string, reserved ...string) (*Registry, error) {
	awaited, err := load(file)
	if err != nil {
		return nil, err
	}
	return &Registry{rib: r, log: log, file: file, reserved: reserved, producers: map[string]*producer{}, awaited: awaited}, nil
}

// Recall reads again what an earlier run left in the file: one that ran beside this one may have written it
// since. It is called once the right to write has moved here, before the first Open.
func (r *Registry) Recall() error {
	awaited, err := load(r.file)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awaited = awaited
	return nil
}

// Open begins a session. It returns the generation whose end of synchronisation was last applied.
func (r *Registry) Open(name, component string, generation uint64, distance uint8) (*Session, uint64, error) {
	if !names.MatchString(name) || slices.Contains(r.reserved, name) {
		return nil, 0, fmt.Errorf("%w: %q (lower-case letters, digits, . _ : -, and none of %q)", ErrName, name, r.reserved)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p, known := r.producers[name]
	if !known {
		if len(r.producers) >= maxProducers {
			return nil, 0, fmt.Errorf("%w: the limit is %d", ErrFull, maxProducers)
		}
		p = &producer{name: name}
	}
	if generation < p.generation {
		return nil, 0, fmt.Errorf("%w: %d, this is %d", ErrStale, p.generation, generation)
	}
	if err := r.remember(p, component); err != nil {
		return nil, 0, err
	}
	if p.session != nil {
		close(p.session.replaced)
	}
	if generation > p.generation {
		p.generation = generation
		p.mark++
	}
	r.producers[name] = p
	p.session = &Session{registry: r, producer: p, distance: distance, mark: p.mark, replaced: make(chan struct{})}
	return p.session, p.synced, nil
}

// remember notes on disk that a component produces routes.
func (r *Registry) remember(p *producer, component string) error {
	if p.component = component; component == "" {
		return nil
	}
	all := r.members()
	if all[p.name] == component {
		return nil
	}
	all[p.name] = component
	return store(r.file, all)
}

// members are the producers that are components. The caller holds the lock.
func (r *Registry) members() map[string]string {
	all := maps.Clone(r.awaited)
	for _, p := range r.producers {
		if p.component != "" {
			all[p.name] = p.component
		}
	}
	return all
}

// Awaited names the producers of an earlier run whose routes may still be in the dataplane and that have
// not finished synchronising.
func (r *Registry) Awaited() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.awaited))
}

// Reap takes away the routes of producers whose component is no longer on the device.
func (r *Registry) Reap(present func(component string) bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := false
	for name, component := range r.members() {
		if present(component) {
			continue
		}
		gone = true
		delete(r.awaited, name)
		if p := r.producers[name]; p != nil {
			r.drop(p)
		}
	}
	if !gone {
		return nil
	}
	r.rib.Wake()
	return store(r.file, r.members())
}

func (r *Registry) drop(p *producer) {
	if p.session != nil {
		close(p.session.replaced)
	}
	delete(r.producers, p.name)
	r.rib.Update(func(t *table.Table) {
		swept := t.Sweep(t.Source(p.name), p.mark+1)
		r.log.Info("producer left the device", "producer", p.name, "routes", swept)
	})
}

// Replaced is closed when a newer session has begun or the producer is gone.
func (s *Session) Replaced() <-chan struct{} { return s.replaced }

// Apply takes a batch. The mark is for the table's Settled. Routes that the table cannot take are
// failures; the rest is applied.
func (s *Session) Apply(routes []Route, withdrawn []netip.Prefix) (mark uint64, failures []Failure, err error) {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	if s.producer.session != s {
		return 0, nil, ErrReplaced
	}
	mark = s.registry.rib.Update(func(t *table.Table) {
		source := t.Source(s.producer.name)
		for _, p := range withdrawn {
			t.Remove(p, source)
		}
		for _, r := range routes {
			if r.Path.Distance == 0 {
				r.Path.Distance = s.distance
			}
			if err := t.Set(r.Prefix, source, s.mark, r.Path); err != nil {
				failures = append(failures, Failure{r.Prefix, err})
			}
		}
	})
	return mark, failures, nil
}

// EndOfSync sweeps what the session's generation has not repeated.
func (s *Session) EndOfSync() (mark uint64, err error) {
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.producer.session != s {
		return 0, ErrReplaced
	}
	swept := 0
	mark = r.rib.Update(func(t *table.Table) {
		swept = t.Sweep(t.Source(s.producer.name), s.mark)
	})
	s.producer.synced = s.producer.generation
	delete(r.awaited, s.producer.name)
	r.rib.Wake()
	r.log.Info("producer synchronised", "producer", s.producer.name, "generation", s.producer.generation, "swept", swept)
	return mark, nil
}

// Close ends the session; the routes stay.
func (s *Session) Close() {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	if s.producer.session == s {
		s.producer.session = nil
	}
}
