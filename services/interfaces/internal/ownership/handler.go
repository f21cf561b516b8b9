// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package ownership is the interfaces' part of a configuration commit: it judges changes, puts them into
// effect in the kernel and in the dataplane, and takes them back when one of the two fails.
package ownership

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/admission"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/ports"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/reconcile"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

// Pattern is what the handler owns: each interface is one object.
const Pattern = "/interfaces/interface[name=*]"

// portsLimit bounds how long a commit waits for the dataplane, restarts of it included.
const portsLimit = 3 * time.Second

// Handler is an owner.Handler and an owner.Observer. The kit calls these from one goroutine; the rest is for any.
type Handler struct {
	reconciler *reconcile.Reconciler
	judge      admission.Judge
	ports      *ports.Syncer
	restored   func()
	parsed     map[string]entry
	// begun is closed once the right to change the kernel is here.
	begun <-chan struct{}

	mu sync.Mutex
	// denied is why configured interfaces are left out: they may not be configured.
	denied map[string]error
	// observed is what would be wanted, by a snapshot that nobody put into effect; nil before one came.
	observed map[string]intent.Interface
}

// entry is an object that was parsed before: most objects are the same from one commit to the next.
type entry struct {
	json []byte
	i    intent.Interface
	err  error
}

// New returns a handler. It changes nothing until begun is closed; restored is called when the first
// configuration is in effect.
func New(r *reconcile.Reconciler, j admission.Judge, p *ports.Syncer, begun <-chan struct{}, restored func()) *Handler {
	return &Handler{reconciler: r, judge: j, ports: p, restored: restored, begun: begun, parsed: map[string]entry{}}
}

// Prepare implements owner.Handler.
func (h *Handler) Prepare(_ context.Context, c owner.Change) error {
	wanted, changed, err := h.candidate(c)
	if err == nil {
		err = h.judge.Judge(wanted, changed)
	}
	return wire(err)
}

// Commit implements owner.Handler.
func (h *Handler) Commit(ctx context.Context, c owner.Change) error {
	wanted, _, err := h.candidate(c)
	if err != nil {
		return wire(err)
	}
	before := h.reconciler.Wanted()
	if err := h.reconciler.Apply(wanted); err != nil {
		return wire(err)
	}
	if err := h.tellDataplane(ctx, wanted); err != nil {
		refusal := intent.Refuse(gpath.String(c.Objects[0].Path), codes.Unavailable, "%v", err)
		h.ports.Set(portsOf(before))
		return wire(errors.Join(refusal, h.reconciler.Apply(before)))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.denied, func(name string, _ error) bool {
		_, inEffect := wanted[name]
		_, configured := c.Desired[intent.Path(name)]
		return inEffect || !configured
	})
	return nil
}

// tellDataplane returns when the dataplane forwards on the ports, if they changed.
func (h *Handler) tellDataplane(ctx context.Context, wanted map[string]intent.Interface) error {
	if !h.ports.Set(portsOf(wanted)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, portsLimit)
	defer cancel()
	return h.ports.Await(ctx)
}

// Restore implements owner.Handler. What was configured stays, whatever a judge would say of it today:
// only an interface that may not be touched at all is left out.
func (h *Handler) Restore(ctx context.Context, s owner.Snapshot) []error {
	select {
	case <-h.begun:
	case <-ctx.Done():
		return []error{ctx.Err()}
	}
	wanted, denied, failures := h.permitted(s)
	broken := h.reconciler.Restore(wanted)
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		failures = append(failures, wire(at(intent.Path(name), broken[name])))
	}
	h.ports.Set(portsOf(wanted))
	h.mu.Lock()
	h.denied = denied
	h.mu.Unlock()
	h.restored()
	return failures
}

// Observe implements owner.Observer.
func (h *Handler) Observe(_ context.Context, s owner.Snapshot) {
	wanted, _, _ := h.permitted(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.observed = wanted
}

// Observed is what would be wanted, by the newest snapshot; false before there was one.
func (h *Handler) Observed() (map[string]intent.Interface, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.observed, h.observed != nil
}

// permitted reads a snapshot: the interfaces that may be configured, those that may not with the reason, and
// everything that is the matter.
func (h *Handler) permitted(s owner.Snapshot) (wanted map[string]intent.Interface, denied map[string]error, failures []error) {
	wanted, denied = map[string]intent.Interface{}, map[string]error{}
	for _, key := range slices.Sorted(maps.Keys(s.Objects)) {
		i, err := h.parse(key, s.Objects[key])
		if err == nil {
			if err = h.judge.Permit(i); err != nil {
				denied[i.Name] = err
			}
		}
		if err != nil {
			failures = append(failures, wire(err))
			continue
		}
		wanted[i.Name] = i
	}
	return wanted, denied, failures
}

// Denied returns nil when every configured interface may be configured; else what is the matter with one.
func (h *Handler) Denied() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(h.denied)) {
		return fmt.Errorf("interface %s is configured and left alone: %w", name, h.denied[name])
	}
	return nil
}

// candidate is the wanted state with the change, and the names of what changes. An object that was
// refused before and is not part of the change stays out.
func (h *Handler) candidate(c owner.Change) (wanted map[string]intent.Interface, changed []string, err error) {
	touched := map[string]bool{}
	for _, o := range c.Objects {
		touched[gpath.String(o.Path)] = true
		changed = append(changed, gpath.Key(o.Path, "interface", "name"))
	}
	before := h.reconciler.Wanted()
	wanted = make(map[string]intent.Interface, len(c.Desired))
	for key, o := range c.Desired {
		i, err := h.parse(key, o)
		if _, accepted := before[i.Name]; !touched[key] && (err != nil || !accepted) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		wanted[i.Name] = i
	}
	h.prune(c.Desired)
	slices.Sort(changed)
	return wanted, changed, nil
}

func (h *Handler) parse(key string, o owner.Object) (intent.Interface, error) {
	if e, ok := h.parsed[key]; ok && bytes.Equal(e.json, o.New) {
		return e.i, e.err
	}
	i, err := intent.Parse(gpath.Key(o.Path, "interface", "name"), o.New)
	h.parsed[key] = entry{json: o.New, i: i, err: err}
	return i, err
}

// prune keeps the memory of parsed objects to those that are configured.
func (h *Handler) prune(desired map[string]owner.Object) {
	if len(h.parsed) > 2*len(desired)+16 {
		maps.DeleteFunc(h.parsed, func(key string, _ entry) bool { _, ok := desired[key]; return !ok })
	}
}

func portsOf(wanted map[string]intent.Interface) []ports.Port {
	all := make([]ports.Port, 0, len(wanted))
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		all = append(all, ports.Port{Name: name, Enabled: wanted[name].Enabled, MTU: uint32(wanted[name].MTU)})
	}
	return all
}

// at gives an error a place in the model if it has none.
func at(path string, err error) error {
	var r *intent.Refusal
	if err == nil || errors.As(err, &r) {
		return err
	}
	return intent.Refuse(path, codes.Internal, "%v", err)
}

// wire puts a refusal in the kit's form.
func wire(err error) error {
	var r *intent.Refusal
	if !errors.As(err, &r) {
		return err
	}
	path, parseErr := gpath.Parse(r.Path)
	if parseErr != nil {
		return errors.Join(err, parseErr)
	}
	return owner.Refuse(path, r.Code, "%s", r.Reason)
}
