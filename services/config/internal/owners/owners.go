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
	"maps"
	"slices"
	"sync"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

var (
	// ErrAway says that the owner is not attached, or that its stream broke before it answered.
	ErrAway = errors.New("the owner is away")
	// ErrOverlap says that another live owner holds an overlapping subtree.
	ErrOverlap = errors.New("another live owner holds an overlapping subtree")
	// ErrSlow says that an observer did not read what was decided.
	ErrSlow = errors.New("too slow: more decisions wait than can be kept")
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
	tokens map[string]uint64
	// listed is nil after a change of what is declared.
	listed *Declarations
	// changed is closed, and made anew, whenever a session comes or goes.
	changed chan struct{}
}

// Declaration is one pattern and who declared it.
type Declaration struct {
	Pattern   *gnmi.Path
	Component string
}

// Declarations are all of one moment, sorted by pattern. They never change; a later moment has others.
type Declarations struct {
	All []Declaration
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{claims: map[string]*claim{}, tokens: map[string]uint64{}, changed: make(chan struct{})}
}

// Remember makes what was declared in an earlier life all that is declared; the owners count as away.
func (r *Registry) Remember(declared map[string][]*gnmi.Path) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.claims)
	for component, patterns := range declared {
		for _, p := range patterns {
			r.claims[gpath.String(p)] = &claim{pattern: p, component: component}
		}
	}
	r.listed = nil
	r.announce()
}

// Declared returns what is declared now. While nothing changes it is the same pointer.
func (r *Registry) Declared() *Declarations {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listed == nil {
		r.listed = &Declarations{}
		for _, key := range slices.Sorted(maps.Keys(r.claims)) {
			c := r.claims[key]
			r.listed.All = append(r.listed.All, Declaration{Pattern: c.pattern, Component: c.component})
		}
	}
	return r.listed
}

// ByComponent groups the patterns, as Remember takes them.
func (d *Declarations) ByComponent() map[string][]*gnmi.Path {
	out := map[string][]*gnmi.Path{}
	for _, one := range d.All {
		out[one.Component] = append(out[one.Component], one.Pattern)
	}
	return out
}

// Session returns the session that serves a declaration, or ErrAway.
func (r *Registry) Session(d Declaration) (*Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.claims[gpath.String(d.Pattern)]; c != nil && c.session != nil && !c.session.over() {
		return c.session, nil
	}
	return nil, fmt.Errorf("%w: %s; try again when it is back", ErrAway, d.Component)
}

// Attaching reports whether an owner has said hello, be it restored or not.
func (r *Registry) Attaching(d Declaration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.claims[gpath.String(d.Pattern)]
	return c != nil && c.attaching != nil
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

func (r *Registry) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}
