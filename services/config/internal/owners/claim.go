// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"fmt"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Known reports whether a hello says nothing new: each pattern is already the component's and overlaps no
// other. Then the session needs no change of the stored declarations.
func (r *Registry) Known(component string, patterns []*gnmi.Path) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range patterns {
		if c := r.claims[gpath.String(p)]; c == nil || c.component != component {
			return false
		}
	}
	return true
}

// hold makes the session the holder of its patterns. A session with a lower token that stands in the way
// ends; one with a token as high wins. undo makes the declarations what they were; the sessions that ended
// stay ended.
func (r *Registry) hold(s *Session, patterns []*gnmi.Path) (undo func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if highest := r.tokens[s.component]; s.token < highest {
		return nil, fmt.Errorf("%w: %d of %s, %d was seen", ErrStale, s.token, s.component, highest)
	}
	inWay, err := r.inWay(s, patterns)
	if err != nil {
		return nil, err
	}
	r.tokens[s.component] = s.token
	for _, c := range inWay {
		if c.attaching != nil {
			c.attaching.end(fmt.Errorf("%w: replaced by a newer %s", ErrAway, s.component))
			r.release(c.attaching)
		}
		delete(r.claims, gpath.String(c.pattern))
	}
	for _, p := range patterns {
		r.claims[gpath.String(p)] = &claim{pattern: p, component: s.component, attaching: s}
	}
	r.listed = nil
	r.announce()
	return func() { r.restoreClaims(s, inWay) }, nil
}

// restoreClaims takes the session's claims away and puts the superseded ones back.
func (r *Registry) restoreClaims(s *Session, superseded []*claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, c := range r.claims {
		if c.attaching == s {
			delete(r.claims, key)
		}
	}
	for _, c := range superseded {
		r.claims[gpath.String(c.pattern)] = &claim{pattern: c.pattern, component: c.component}
	}
	r.listed = nil
	r.announce()
}

// inWay returns the claims that overlap the patterns, or ErrOverlap when a live owner will not yield.
func (r *Registry) inWay(s *Session, patterns []*gnmi.Path) ([]*claim, error) {
	var out []*claim
	for _, p := range patterns {
		for _, c := range r.claims {
			if !overlap(p, c.pattern) {
				continue
			}
			if c.attaching != nil && (c.attaching.component != s.component || c.attaching.token >= s.token) {
				return nil, fmt.Errorf("%w: %s holds %s", ErrOverlap, c.component, gpath.String(c.pattern))
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// serve makes a restored session the one that answers for its claims.
func (r *Registry) serve(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.claims {
		if c.attaching == s {
			c.session = s
		}
	}
	r.announce()
}

// leave gives the session's claims up; they stay declared.
func (r *Registry) leave(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(s)
	r.announce()
}

func (r *Registry) release(s *Session) {
	for _, c := range r.claims {
		if c.attaching == s {
			c.session, c.attaching = nil, nil
		}
	}
}

// overlap reports whether some path could lie on or below both patterns.
func overlap(a, b *gnmi.Path) bool {
	for i := range min(len(a.GetElem()), len(b.GetElem())) {
		ea, eb := a.GetElem()[i], b.GetElem()[i]
		if ea.GetName() != eb.GetName() {
			return false
		}
		for k, va := range ea.GetKey() {
			if vb, ok := eb.GetKey()[k]; ok && va != vb && va != gpath.Wildcard && vb != gpath.Wildcard {
				return false
			}
		}
	}
	return true
}
