// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package owner

import (
	"context"
	"fmt"
	"log/slog"
	"maps"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/retry"
)

// Observer is a Handler that follows the configuration before its process has the token, so that what it would
// make of it can be compared with what the owner made of it.
type Observer interface {
	// Observe takes the whole state as it is decided, in effect or not: after the process's start and after each
	// change. It changes nothing that anyone could see. It is not called any more when Restore is.
	Observe(ctx context.Context, s Snapshot)
}

// observe follows the configuration until the process has the token, if the handler wants to.
func (o *Owner) observe(ctx context.Context, log *slog.Logger, client configv1.ConfigClient, token func(context.Context) (uint64, error)) {
	observer, ok := o.handler.(Observer)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		defer cancel()
		_, _ = token(ctx)
	}()
	_ = retry.Forever(ctx, log, "observe the configuration", func(ctx context.Context) error {
		return o.follow(ctx, client, observer)
	})
	cancel()
	<-waiting
}

// follow is one stream of an observer.
func (o *Owner) follow(ctx context.Context, client configv1.ConfigClient, observer Observer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := o.hello(ctx, client, &configv1.Hello{Patterns: o.patterns, Observe: true})
	if err != nil {
		return err
	}
	snapshot, err := o.snapshot(st)
	if err != nil {
		return err
	}
	observer.Observe(ctx, snapshot)
	restored := &configv1.Restored{Revision: snapshot.Revision}
	if err := st.Send(&configv1.AttachRequest{Message: &configv1.AttachRequest_Restored{Restored: restored}}); err != nil {
		return receiveError(st, err)
	}
	for {
		m, err := st.Recv()
		if err != nil {
			return err
		}
		a := m.GetApply()
		if a == nil {
			return fmt.Errorf("the configuration service sent an observer %T", m.GetMessage())
		}
		if snapshot, err = o.after(snapshot, a); err != nil {
			return err
		}
		observer.Observe(ctx, snapshot)
		committed := &configv1.Committed{Transaction: a.GetTransaction(), Revision: a.GetRevision()}
		if err := st.Send(&configv1.AttachRequest{Message: &configv1.AttachRequest_Committed{Committed: committed}}); err != nil {
			return receiveError(st, err)
		}
	}
}

// after is a snapshot with a decided change.
func (o *Owner) after(s Snapshot, a *configv1.Apply) (Snapshot, error) {
	next := Snapshot{Revision: a.GetRevision(), Objects: maps.Clone(s.Objects)}
	for _, sub := range a.GetChanges() {
		object, err := o.object(sub)
		if err != nil {
			return s, err
		}
		if key := gpath.String(sub.GetPath()); object.New == nil {
			delete(next.Objects, key)
		} else {
			next.Objects[key] = object
		}
	}
	return next, nil
}
