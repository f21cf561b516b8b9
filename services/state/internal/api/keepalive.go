// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"io"
	"time"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/state/internal/store"
)

// renewEvery is how often in a lease's time it is renewed.
const renewEvery = 3

// KeepAlive implements the contract: a lease that was named once is renewed until the stream ends.
func (s *Server) KeepAlive(stream statev1.State_KeepAliveServer) error {
	caller, st, err := s.enter(stream.Context())
	if err != nil {
		return toStatus(err)
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	k := &keeper{store: st, caller: caller, stream: stream, due: map[int64]time.Time{}}
	named, ended := receive(ctx, stream)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return toStatus(ctx.Err())
		case err := <-ended:
			return err
		case id := <-named:
			err = k.renew(ctx, id)
		case <-timer.C:
			err = k.renewDue(ctx)
		}
		if err != nil {
			return toStatus(err)
		}
		timer.Reset(k.pause())
	}
}

// receive passes on the leases that the caller names; ended delivers nil when the caller has closed the stream.
func receive(ctx context.Context, stream statev1.State_KeepAliveServer) (<-chan int64, <-chan error) {
	named, ended := make(chan int64), make(chan error, 1)
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				ended <- closed(err)
				return
			}
			select {
			case named <- r.GetLease():
			case <-ctx.Done():
				return
			}
		}
	}()
	return named, ended
}

// keeper renews the leases of one stream. It is used by one goroutine.
type keeper struct {
	store  *store.Store
	caller string
	stream statev1.State_KeepAliveServer
	due    map[int64]time.Time
}

func (k *keeper) renew(ctx context.Context, id int64) error {
	ttl, err := k.store.Renew(ctx, k.caller, id)
	if err != nil {
		return err
	}
	k.due[id] = time.Now().Add(ttl / renewEvery)
	return k.stream.Send(&statev1.KeepAliveResponse{Lease: id, TtlSeconds: uint32(ttl / time.Second)})
}

func (k *keeper) renewDue(ctx context.Context) error {
	now := time.Now()
	for id, at := range k.due {
		if at.After(now) {
			continue
		}
		if err := k.renew(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// pause is the time until a lease is due.
func (k *keeper) pause() time.Duration {
	pause := time.Hour
	for _, at := range k.due {
		pause = min(pause, time.Until(at))
	}
	return max(pause, 0)
}

func closed(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
