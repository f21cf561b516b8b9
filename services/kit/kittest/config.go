// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kittest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Config plays the configuration service for one owner and its observers: it holds objects, sends the snapshot when the
// owner attaches and takes changes through prepare and commit. Safe for concurrent use.
type Config struct {
	configv1.UnimplementedConfigServer

	mu       sync.Mutex
	objects  map[string]string
	revision int64
	session  *session
	attached chan struct{}
	// observers follow what is decided; changed is closed with each change.
	observers int
	history   []decided
	changed   chan struct{}
}

// decided is a change that was.
type decided struct {
	revision int64
	changes  []*configv1.Subtree
}

// session is the owner's attachment; it handles one transaction at a time.
type session struct {
	todo    chan transaction
	ended   chan struct{}
	failure []*configv1.Refusal
}

type transaction struct {
	changes []*configv1.Subtree
	apply   bool
	done    chan error
}

func newConfig() *Config {
	return &Config{objects: map[string]string{}, attached: make(chan struct{}), changed: make(chan struct{})}
}

// Preset sets what the snapshot holds, by path, before the owner attaches.
func (c *Config) Preset(objects map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.objects, objects)
	c.revision++
}

// Set commits a change: JSON by path, "" deletes. It waits for the owner to attach, and returns the owner's
// refusal (as a *Refused), nothing being changed then, or nil once the owner has it in effect.
func (c *Config) Set(ctx context.Context, changes map[string]string) error {
	return c.send(ctx, changes, false)
}

// Apply sends a change that is already decided.
func (c *Config) Apply(ctx context.Context, changes map[string]string) error {
	return c.send(ctx, changes, true)
}

func (c *Config) send(ctx context.Context, changes map[string]string, apply bool) error {
	tx := transaction{apply: apply, done: make(chan error, 1)}
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		tx.changes = append(tx.changes, &configv1.Subtree{Path: gpath.MustParse(path), Json: []byte(changes[path])})
	}
	s, err := c.wait(ctx)
	if err != nil {
		return err
	}
	select {
	case s.todo <- tx:
	case <-s.ended:
		return errors.New("the owner went away")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-tx.done:
		return err
	case <-s.ended:
		return errors.New("the owner went away in the transaction")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Restored waits for the owner to attach and returns what it could not restore.
func (c *Config) Restored(ctx context.Context) ([]*configv1.Refusal, error) {
	s, err := c.wait(ctx)
	if err != nil {
		return nil, err
	}
	return s.failure, nil
}

func (c *Config) wait(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		s, attached := c.session, c.attached
		c.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-attached:
		case <-ctx.Done():
			return nil, fmt.Errorf("no owner attached: %w", ctx.Err())
		}
	}
}

// Refused is the owner's refusal.
type Refused struct{ *configv1.Refusal }

func (r *Refused) Error() string {
	return fmt.Sprintf("%s: %s: %s", codes.Code(r.GetCode()), gpath.String(r.GetPath()), r.GetReason())
}

type attachStream = grpc.BidiStreamingServer[configv1.AttachRequest, configv1.AttachResponse]

// Attach implements the contract for one owner at a time.
func (c *Config) Attach(stream attachStream) error {
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	if m.GetHello() == nil {
		return status.Error(codes.InvalidArgument, "want hello first")
	}
	if m.GetHello().GetObserve() {
		return c.observe(stream)
	}
	if err := stream.Send(&configv1.AttachResponse{Message: &configv1.AttachResponse_Snapshot{Snapshot: c.snapshot()}}); err != nil {
		return err
	}
	if m, err = stream.Recv(); err != nil {
		return err
	}
	if m.GetRestored() == nil {
		return status.Error(codes.InvalidArgument, "want restored after the snapshot")
	}
	s := &session{todo: make(chan transaction), ended: make(chan struct{}), failure: m.GetRestored().GetFailures()}
	c.join(s)
	defer c.leave(s)
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case tx := <-s.todo:
			err := c.run(stream, tx)
			tx.done <- err
			if _, refused := err.(*Refused); err != nil && !refused {
				return err
			}
		}
	}
}

func (c *Config) snapshot() *configv1.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &configv1.Snapshot{Revision: c.revision, Last: true}
	for _, path := range slices.Sorted(maps.Keys(c.objects)) {
		out.Subtrees = append(out.Subtrees, &configv1.Subtree{Path: gpath.MustParse(path), Json: []byte(c.objects[path])})
	}
	return out
}

// Observers is how many processes follow the configuration without owning any of it.
func (c *Config) Observers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.observers
}

// observe tells what is decided and waits for nobody.
func (c *Config) observe(stream attachStream) error {
	c.mu.Lock()
	c.observers++
	told := len(c.history)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.observers--
	}()
	if err := stream.Send(&configv1.AttachResponse{Message: &configv1.AttachResponse_Snapshot{Snapshot: c.snapshot()}}); err != nil {
		return err
	}
	for {
		c.mu.Lock()
		news, changed := c.history[told:], c.changed
		told = len(c.history)
		c.mu.Unlock()
		for _, d := range news {
			apply := &configv1.Apply{Transaction: uint64(d.revision), Revision: d.revision, Changes: d.changes}
			if err := stream.Send(&configv1.AttachResponse{Message: &configv1.AttachResponse_Apply{Apply: apply}}); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (c *Config) join(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	close(c.attached)
	c.attached = make(chan struct{})
}

func (c *Config) leave(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(s.ended)
	if c.session == s {
		c.session = nil
	}
}

// run takes one transaction through the stream.
func (c *Config) run(stream attachStream, tx transaction) error {
	c.mu.Lock()
	revision := c.revision + 1
	c.mu.Unlock()
	id := uint64(revision)
	if !tx.apply {
		prepare := &configv1.Prepare{Transaction: id, BaseRevision: revision - 1, Changes: tx.changes}
		if err := stream.Send(&configv1.AttachResponse{Message: &configv1.AttachResponse_Prepare{Prepare: prepare}}); err != nil {
			return err
		}
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if r := m.GetPrepared().GetRefusal(); r != nil {
			return &Refused{r}
		}
	}
	if err := stream.Send(decision(tx, id, revision)); err != nil {
		return err
	}
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	if m.GetCommitted() == nil {
		return fmt.Errorf("the owner answered %T, want committed", m.GetMessage())
	}
	if f := m.GetCommitted().GetFailure(); f != nil {
		return &Refused{f}
	}
	c.keep(tx.changes, revision)
	return nil
}

func decision(tx transaction, id uint64, revision int64) *configv1.AttachResponse {
	if tx.apply {
		return &configv1.AttachResponse{Message: &configv1.AttachResponse_Apply{Apply: &configv1.Apply{Transaction: id, Revision: revision, Changes: tx.changes}}}
	}
	return &configv1.AttachResponse{Message: &configv1.AttachResponse_Commit{Commit: &configv1.Commit{Transaction: id, Revision: revision}}}
}

func (c *Config) keep(changes []*configv1.Subtree, revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revision = revision
	c.history = append(c.history, decided{revision, changes})
	close(c.changed)
	c.changed = make(chan struct{})
	for _, s := range changes {
		if key := gpath.String(s.GetPath()); len(s.GetJson()) == 0 {
			delete(c.objects, key)
		} else {
			c.objects[key] = string(s.GetJson())
		}
	}
}
