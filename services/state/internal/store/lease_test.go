// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"testing"
	"time"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
)

func TestLeaseExpires(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	id, ttl, err := s.Grant(t.Context(), writerA, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if ttl != time.Second {
		t.Errorf("time to live %v, want 1 s", ttl)
	}
	bound := Operation{Table: tableA, Key: "bound", Value: number(1), Lease: id}
	last := mustTransact(t, s, bound, putOp(tableA, "free", 2))
	f := &follower{rows: map[string]int64{}}
	follow(t, s, f, last)
	follow(t, s, f, last+1)
	if _, there := f.rows["bound"]; there || f.rows["free"] != 2 {
		t.Errorf("after the lease ran out: %v", f.rows)
	}
	_, err = s.Renew(t.Context(), writerA, id)
	wantError(t, err, ErrNoLease)
}

func TestLeaseBelongsToItsCaller(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	id, _, err := s.Grant(t.Context(), writerA, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Renew(t.Context(), "rib", id)
	wantError(t, err, ErrNoLease)
	wantError(t, s.Revoke(t.Context(), "rib", id), ErrNoLease)
	if ttl, err := s.Renew(t.Context(), writerA, id); err != nil || ttl != time.Minute {
		t.Errorf("renew: %v, %v", ttl, err)
	}
	mustTransact(t, s, Operation{Table: tableA, Key: "bound", Value: number(1), Lease: id})
	if err := s.Revoke(t.Context(), writerA, id); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, s, tableA, 0); len(got) != 0 {
		t.Errorf("after revoking: %v", got)
	}
	_, _, err = s.Grant(t.Context(), writerA, 0)
	wantError(t, err, ErrInvalid)
}

func TestRegistry(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	instance := &statev1.ServiceInstance{Service: "rib", Instance: "0", Endpoint: "unix:///run/ashlar/rib.sock"}
	id, err := s.Register(t.Context(), "rib", instance, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	keys := func() (out []string) {
		err := s.Read(context.Background(), Registry, "", true, 0, func(rows []Row, _ int64) error {
			for _, r := range rows {
				out = append(out, r.Key)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := keys(); len(got) != 1 || got[0] != "rib/0" {
		t.Errorf("registry holds %v", got)
	}
	_, err = s.Register(t.Context(), "bgp", instance, time.Minute)
	wantError(t, err, ErrNotWriter)
	_, err = s.Register(t.Context(), "rib", &statev1.ServiceInstance{Service: "rib", Instance: "a/b"}, time.Minute)
	wantError(t, err, ErrInvalid)
	if err := s.Revoke(t.Context(), "rib", id); err != nil {
		t.Fatal(err)
	}
	if got := keys(); len(got) != 0 {
		t.Errorf("after leaving the registry holds %v", got)
	}
}
