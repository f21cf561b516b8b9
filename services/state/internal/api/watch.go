// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"google.golang.org/protobuf/proto"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/state/internal/store"
)

// Watch implements the contract.
func (s *Server) Watch(r *statev1.WatchRequest, stream statev1.State_WatchServer) error {
	st, err := s.store(stream.Context())
	if err != nil {
		return toStatus(err)
	}
	return toStatus(st.Watch(stream.Context(), r.GetTable(), r.GetKeyPrefix(), r.GetFromRevision(), watch{stream}))
}

// watch is a store.Watcher that sends on a stream.
type watch struct{ stream statev1.State_WatchServer }

func (w watch) Rows(rows []store.Row) error {
	return chunked(toRows(rows), func(chunk []*statev1.Row) error {
		return w.stream.Send(&statev1.WatchResponse{Message: &statev1.WatchResponse_Snapshot{Snapshot: &statev1.Rows{Rows: chunk}}})
	})
}

func (w watch) Synced(revision int64) error {
	return w.stream.Send(&statev1.WatchResponse{Message: &statev1.WatchResponse_Synced{Synced: &statev1.Synced{Revision: revision}}})
}

func (w watch) Events(revision int64, events []store.Event) error {
	out := &statev1.Events{Revision: revision, Events: make([]*statev1.Event, len(events))}
	for i, e := range events {
		out.Events[i] = &statev1.Event{Row: toRow(e.Row), Deleted: e.Deleted}
	}
	return w.stream.Send(&statev1.WatchResponse{Message: &statev1.WatchResponse_Events{Events: out}})
}

func (w watch) Compacted(oldest int64) error {
	return w.stream.Send(&statev1.WatchResponse{Message: &statev1.WatchResponse_Compacted{Compacted: &statev1.Compacted{OldestRevision: oldest}}})
}

// Discover implements the contract.
func (s *Server) Discover(r *statev1.DiscoverRequest, stream statev1.State_DiscoverServer) error {
	prefix := ""
	if r.GetService() != "" {
		prefix = r.GetService() + "/"
	}
	st, err := s.store(stream.Context())
	if err != nil {
		return toStatus(err)
	}
	return toStatus(st.Watch(stream.Context(), store.Registry, prefix, 0, discovery{stream}))
}

// discovery is a store.Watcher that tells of service instances.
type discovery struct{ stream statev1.State_DiscoverServer }

func (d discovery) instance(r store.Row, gone bool) error {
	i := &statev1.ServiceInstance{}
	if gone {
		i.Service, i.Instance = store.SplitRegistryKey(r.Key)
	} else if err := proto.Unmarshal(r.Value, i); err != nil {
		return err
	}
	return d.stream.Send(&statev1.DiscoverResponse{Instance: i, Gone: gone})
}

func (d discovery) Rows(rows []store.Row) error {
	for _, r := range rows {
		if err := d.instance(r, false); err != nil {
			return err
		}
	}
	return nil
}

func (d discovery) Synced(int64) error {
	return d.stream.Send(&statev1.DiscoverResponse{Synced: true})
}

func (d discovery) Events(_ int64, events []store.Event) error {
	for _, e := range events {
		if err := d.instance(e.Row, e.Deleted); err != nil {
			return err
		}
	}
	return nil
}

// Compacted cannot be repaired on this stream: the reader does not know which instances are gone.
func (d discovery) Compacted(int64) error { return store.ErrUnavailable }
