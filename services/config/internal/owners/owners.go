// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package owners keeps the components that own parts of the model: what each declared, whether it is
// attached, and the stream to it (ashlar.config.v1/Attach). It never decides about a change; it carries
// the questions and the answers.
//
// A Registry is safe for concurrent use. No lock is held while anything waits for an owner.
package owners

import (
	"errors"
	"fmt"
	"sync"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

var (
	// ErrAway says that the owner is not attached, or that its stream broke before it answered.
	ErrAway = errors.New("the owner is away")
	// ErrUnowned says that no component ever declared the path.
	ErrUnowned = errors.New("no component implements this")
	// ErrOverlap says that another live owner holds an overlapping subtree.
	ErrOverlap = errors.New("another live owner holds an overlapping subtree")
	// ErrStale says that the fencing token is older than one that was seen.
	ErrStale = errors.New("stale fencing token")
)

// Refusal is an owner's no, in its own words.
type Refusal struct {
	// Owner is the component's name.
	Owner  string
	Path   *gnmi.Path
	Reason string
	Code   codes.Code
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s: %s: %s", gpath.String(r.Path), r.Owner, r.Reason)
}

// claim is one declared pattern.
type claim struct {
	pattern   *gnmi.Path
	component string
	// session is nil while the owner is away or not yet restored.
	session *Session
	// attaching is the session that holds the claim, from its hello on.
	attaching *Session
}

// Registry holds the claims.
type Registry struct {
	mu     sync.Mutex
	claims map[string]*claim
	index  *index
	tokens map[string]uint64
	// changed is closed, and made anew, whenever a session comes or goes.
	changed chan struct{}
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{claims: map[string]*claim{}, index: newIndex(), tokens: map[string]uint64{}, changed: make(chan struct{})}
}

// Remember adds what was declared in an earlier life; the owners count as away.
func (r *Registry) Remember(declared map[string][]*gnmi.Path) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for component, patterns := range declared {
		for _, p := range patterns {
			r.claims[gpath.String(p)] = &claim{pattern: p, component: component}
		}
	}
	r.reindex()
}

// Declared returns the patterns by component, as Remember takes them.
func (r *Registry) Declared() map[string][]*gnmi.Path {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string][]*gnmi.Path{}
	for _, c := range r.claims {
		out[c.component] = append(out[c.component], c.pattern)
	}
	return out
}

// Place says where a path lies among the claims.
type Place struct {
	// Object is the object's path, cut from the path that was asked for.
	Object    *gnmi.Path
	Component string
	pattern   string
}

// Locate finds the object that a path is, or lies in.
func (r *Registry) Locate(path *gnmi.Path) (Place, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, depth := r.index.lookup(path)
	if c == nil {
		return Place{}, fmt.Errorf("%w: %s", ErrUnowned, gpath.String(path))
	}
	return Place{
		Object:    &gnmi.Path{Elem: path.GetElem()[:depth:depth]},
		Component: c.component,
		pattern:   gpath.String(c.pattern),
	}, nil
}

// Session returns the session that serves a place, or ErrAway.
func (r *Registry) Session(p Place) (*Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.claims[p.pattern]; c != nil && c.session != nil {
		return c.session, nil
	}
	return nil, fmt.Errorf("%w: %s, which owns %s; try again when it is back", ErrAway, p.Component, gpath.String(p.Object))
}

// Changed returns a channel that is closed when next a session comes or goes.
func (r *Registry) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// Attached returns the names of the components that are attached and restored, and of those that are not.
func (r *Registry) Attached() (here, away []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, c := range r.claims {
		key := fmt.Sprint(c.component, c.session != nil)
		switch {
		case seen[key]:
		case c.session != nil:
			here = append(here, c.component)
		default:
			away = append(away, c.component)
		}
		seen[key] = true
	}
	return here, away
}

func (r *Registry) reindex() {
	r.index = newIndex()
	for _, c := range r.claims {
		r.index.add(c)
	}
}

func (r *Registry) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}
