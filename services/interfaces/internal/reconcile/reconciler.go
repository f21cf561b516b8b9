// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package reconcile makes the kernel's interfaces what the configuration wants, and keeps them so.
//
// It is level-triggered: it reads what is, plans the difference to what shall be, takes the steps, and
// reads again until nothing differs. The same code configures, repairs what somebody else changed, and
// puts an interface back as it was found when its configuration goes. An interface that is not
// configured is never written to, but for removing what Ashlar itself had put there.
//
// Methods of Reconciler are safe for concurrent use.
package reconcile

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/found"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/history"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

// Kernel is what the reconciler needs of the kernel; *kernel.Conn is one.
type Kernel interface {
	Read(name string) (kernel.State, bool, error)
	Links() ([]kernel.Link, error)
	AddressesByLink() (map[int][]kernel.Address, error)
	Identity() string

	SetUp(index int, up bool) error
	SetMTU(index, mtu int) error
	SetAlias(index int, alias string) error
	SetKnob(link string, k kernel.Knob, p kernel.Position) error
	AddAddress(index int, a kernel.Address) error
	DeleteAddress(index int, p netip.Prefix) error
	AddConnected(index int, address netip.Prefix) error
	Taken(index int, ip netip.Addr) bool
	AddNeighbor(index int, n kernel.Neighbor) error
	DeleteNeighbor(index int, ip netip.Addr) error
}

// View is one configured interface: what is wanted and what is.
type View struct {
	Intent intent.Interface
	// Present: the link exists and State is what the kernel has. Otherwise the interface is pending.
	Present bool
	State   kernel.State
	// Problem is why the interface is not as wanted; nil when it is, or only pending.
	Problem error
	// LastChange is when the link appeared, vanished, or changed its operational state; restarts of the
	// daemon are none.
	LastChange time.Time
}

// Tell is called with each new view of an interface, nil when it is no longer configured. Calls come one
// at a time and must not block or call the reconciler.
type Tell func(name string, v *View)

// Reconciler brings interfaces about.
type Reconciler struct {
	kernel  Kernel
	found   *found.Store
	history *history.Store
	log     *slog.Logger
	metrics *Metrics
	agenda  *agenda
	// period is how often each interface is looked at for no reason.
	period time.Duration

	mu       sync.Mutex
	tell     Tell
	wanted   map[string]intent.Interface
	views    map[string]*View
	retries  map[string]time.Duration
	restored bool
	// swept is the interface that was looked at last for no reason.
	swept string

	names indexNames
}

// New returns a reconciler that wants nothing yet and touches nothing before Restore.
func New(k Kernel, records *found.Store, past *history.Store, log *slog.Logger, m *Metrics, tell Tell) *Reconciler {
	return &Reconciler{
		kernel: k, found: records, history: past, log: log, metrics: m, tell: tell, agenda: newAgenda(), period: sweepPeriod,
		wanted: map[string]intent.Interface{}, views: map[string]*View{}, retries: map[string]time.Duration{},
	}
}

// Restore makes the given interfaces all that is wanted. It returns, by interface, what could not be
// brought about; that goes on being tried.
func (r *Reconciler) Restore(wanted map[string]intent.Interface) map[string]error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted, r.restored = wanted, true
	left, err := r.leftBehind()
	if err != nil {
		r.log.Warn("cannot look for what an earlier process left on links", "error", err)
	}
	names := append(slices.Collect(maps.Keys(wanted)), r.found.Names()...)
	for name := range r.views {
		names = append(names, name)
	}
	return r.settle(unique(append(names, left...)))
}

// leftBehind names the links that carry addresses of ours.
func (r *Reconciler) leftBehind() ([]string, error) {
	links, err := r.kernel.Links()
	if err != nil {
		return nil, err
	}
	addresses, err := r.kernel.AddressesByLink()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		if slices.ContainsFunc(addresses[l.Index], kernel.Address.Ours) {
			names = append(names, l.Name)
		}
	}
	return names, nil
}

// Apply makes the given interfaces all that is wanted and returns when those that differ from what was
// wanted before are so, or pending. On an error, a *intent.Refusal, what was wanted before is wanted
// again and the kernel is as it was.
func (r *Reconciler) Apply(wanted map[string]intent.Interface) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.wanted
	changed := differing(before, wanted)
	r.wanted = wanted
	jobs := r.pursue(changed)
	refused := firstRefusal(jobs)
	if refused == nil {
		for _, j := range jobs {
			r.conclude(j)
		}
		return nil
	}
	r.wanted = before
	for name, err := range r.settle(changed) {
		r.log.Error("a refused change could not be undone; it will be tried again", "interface", name, "error", err)
	}
	return refused
}

// Wanted returns what is wanted. It must not be modified.
func (r *Reconciler) Wanted() map[string]intent.Interface {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wanted
}

// Known reports whether the interface has been configured and not put back since, restarts included.
func (r *Reconciler) Known(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.found.Get(name)
	return ok
}

// Records gives f the records of what interfaces were like before they were configured.
func (r *Reconciler) Records(f func(*found.Store) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f(r.found)
}

// Trouble returns nil when every configured interface is as wanted or pending; else what is wrong with one.
func (r *Reconciler) Trouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.restored {
		return errors.New("the configuration has not arrived yet")
	}
	for _, name := range slices.Sorted(maps.Keys(r.views)) {
		if err := r.views[name].Problem; err != nil {
			return fmt.Errorf("interface %s: %w", name, err)
		}
	}
	return nil
}

// differing names the interfaces that are not the same in both.
func differing(a, b map[string]intent.Interface) []string {
	var names []string
	for name, i := range b {
		if old, ok := a[name]; !ok || !reflect.DeepEqual(old, i) {
			names = append(names, name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	return unique(names)
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func firstRefusal(jobs []*job) error {
	for _, j := range jobs {
		if j.err != nil {
			return asRefusal(intent.Path(j.name), j.err)
		}
	}
	return nil
}
