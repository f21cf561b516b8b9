// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// status is each component's state by name.
type status map[string]*supervisorv1.ComponentStatus

func (s status) ready(name string) bool {
	return s[name].GetPhase() == supervisorv1.Phase_PHASE_READY
}

// view follows the supervisor's Watch, across supervisors.
type view struct {
	connection *grpc.ClientConn
	cancel     context.CancelFunc
	done       chan struct{}

	mu         sync.Mutex
	components status
	synced     bool
	changed    chan struct{} // closed and replaced with each change
}

// reconnect is the longest pause between two attempts to reach a supervisor that is away.
const reconnect = 20 * time.Millisecond

func watch(socket string) (*view, error) {
	connection, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: reconnect, Multiplier: 1, MaxDelay: reconnect},
			MinConnectTimeout: 3 * time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &view{connection: connection, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	v.forget()
	go func() {
		defer close(v.done)
		for ctx.Err() == nil {
			v.follow(ctx)
		}
	}()
	return v, nil
}

// follow reads one stream to its end.
func (v *view) follow(ctx context.Context) {
	pause := time.NewTimer(reconnect)
	defer pause.Stop()
	stream, err := supervisorv1.NewSupervisorClient(v.connection).Watch(ctx, &supervisorv1.WatchRequest{}, grpc.WaitForReady(true))
	if err == nil {
		v.forget()
	}
	for err == nil {
		var message *supervisorv1.WatchResponse
		if message, err = stream.Recv(); err == nil {
			v.take(message)
		}
	}
	select { // a supervisor that answers but cannot serve is not asked in a tight loop
	case <-ctx.Done():
	case <-pause.C:
	}
}

func (v *view) take(message *supervisorv1.WatchResponse) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := message.GetComponent(); c != nil {
		v.components[c.GetName()] = c
	}
	v.synced = v.synced || message.GetSynced()
	v.tell()
}

// tell wakes those who wait. The lock is held.
func (v *view) tell() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// forget empties the view: what a former supervisor said no longer counts.
func (v *view) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.components, v.synced = status{}, false
	v.tell()
}

// now copies the view. The messages in it are never changed.
func (v *view) now() status {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.components)
}

// until waits for a condition on a view that is complete.
func (v *view) until(ctx context.Context, condition func(status) bool) error {
	for {
		v.mu.Lock()
		ok, changed := v.synced && condition(v.components), v.changed
		v.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (v *view) close() error {
	v.cancel()
	err := v.connection.Close()
	<-v.done
	return errors.Join(err)
}
