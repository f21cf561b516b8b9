// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package owner is the configuration owner: the side of a commit that belongs to the component which owns a
// part of the model. It attaches to the configuration service, keeps the desired state, and calls the
// component's handler level-triggered: whatever was missed comes as a snapshot.
//
// The handler is called by one goroutine at a time. Methods of Owner are safe for concurrent use.
package owner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Handler is the component's part of the commit.
type Handler interface {
	// Prepare says whether the change can be put into effect. It may refuse (see Refuse) and must change
	// nothing that anyone could see.
	Prepare(ctx context.Context, c Change) error
	// Commit puts a change into effect and returns when it is. After an error the change counts as not made:
	// the handler has undone what it did. It may be called without Prepare, for a change that is decided.
	Commit(ctx context.Context, c Change) error
	// Restore makes the snapshot the whole desired state. It returns what cannot be in effect; what is only
	// pending, such as an interface that does not exist yet, is none of these.
	Restore(ctx context.Context, s Snapshot) []error
}

// Object is one object of the model that the component owns.
type Object struct {
	Path *gnmi.Path
	// Pattern is the one of the owner's patterns that the path lies on.
	Pattern string
	// Old and New are RFC 7951 JSON; nil means that nothing is configured there.
	Old, New json.RawMessage
}

// Change is what one transaction changes.
type Change struct {
	// Revision the change makes; 0 in Prepare, where it is not known.
	Revision int64
	Objects  []Object
	// Desired is the whole state with the change, by gpath.String of the object's path. It must not be modified.
	Desired map[string]Object
}

// Snapshot is the whole desired state.
type Snapshot struct {
	Revision int64
	Objects  map[string]Object
}

// Refusal is an error that names the path at fault and the reason, for the client of the transaction.
type Refusal struct {
	Path   *gnmi.Path
	Code   codes.Code
	Reason string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", gpath.String(r.Path), r.Reason) }

// Refuse makes a refusal. The reason is a sentence for the operator: what is wrong and what to do.
func Refuse(path *gnmi.Path, code codes.Code, format string, args ...any) error {
	return &Refusal{Path: path, Code: code, Reason: fmt.Sprintf(format, args...)}
}

// Owner is one component's ownership.
type Owner struct {
	patterns []*gnmi.Path
	handler  Handler
	turns    turns

	mu       sync.Mutex
	desired  map[string]Object
	revision int64
	restored bool
	failures []error
}

// New returns an owner of the objects on the patterns, for example "/interfaces/interface[name=*]". It panics
// on a pattern that does not parse: that is an error of the program.
func New(patterns []string, h Handler) *Owner {
	o := &Owner{handler: h, desired: map[string]Object{}}
	for _, p := range patterns {
		o.patterns = append(o.patterns, gpath.MustParse(p))
	}
	return o
}

// Restored reports whether a snapshot was put into effect since the process started.
func (o *Owner) Restored() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.restored
}

// Revision is that of the configuration in effect.
func (o *Owner) Revision() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.revision
}

// Failures are what the last snapshot asked for and could not be made so.
func (o *Owner) Failures() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failures
}

// Freeze lets the transactions that are under way be decided and come into effect, and keeps later ones waiting: a
// successor may take them. When ctx ends before, the owner is as it was. Freezing twice changes nothing.
func (o *Owner) Freeze(ctx context.Context) error { return o.turns.freeze(ctx) }

// Unfreeze lets transactions go on.
func (o *Owner) Unfreeze() { o.turns.thaw() }

// change makes a Change of the wire's subtrees, relative to the state in effect.
func (o *Owner) change(revision int64, subtrees []*configv1.Subtree) (Change, error) {
	c := Change{Revision: revision, Desired: maps.Clone(o.desired)}
	for _, s := range subtrees {
		object, err := o.object(s)
		if err != nil {
			return c, err
		}
		key := gpath.String(s.GetPath())
		object.Old = o.desired[key].New
		c.Objects = append(c.Objects, object)
		if object.New == nil {
			delete(c.Desired, key)
		} else {
			c.Desired[key] = object
		}
	}
	return c, nil
}

func (o *Owner) object(s *configv1.Subtree) (Object, error) {
	out := Object{Path: s.GetPath()}
	if len(s.GetJson()) > 0 {
		out.New = s.GetJson()
	}
	for _, p := range o.patterns {
		if gpath.Match(p, s.GetPath()) {
			out.Pattern = gpath.String(p)
			return out, nil
		}
	}
	return out, Refuse(s.GetPath(), codes.Internal, "the object lies on none of the owner's patterns")
}

// settle takes a change that is in effect into the desired state.
func (o *Owner) settle(c Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, object := range c.Desired {
		object.Old = nil
		c.Desired[key] = object
	}
	o.desired, o.revision = c.Desired, c.Revision
}

// wireRefusal puts an error on the wire; nil stays nil.
func wireRefusal(err error) *configv1.Refusal {
	if err == nil {
		return nil
	}
	var r *Refusal
	if errors.As(err, &r) {
		return &configv1.Refusal{Path: r.Path, Reason: r.Reason, Code: int32(r.Code)}
	}
	return &configv1.Refusal{Reason: err.Error(), Code: int32(codeOf(err))}
}

func codeOf(err error) codes.Code {
	if code := status.Code(err); code != codes.Unknown {
		return code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return codes.DeadlineExceeded
	}
	return codes.Internal
}
