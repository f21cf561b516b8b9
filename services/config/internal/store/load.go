// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
)

// Load declares the tables, fences off older processes and reads everything at one moment. It may be
// called again after an error.
func (s *Store) Load(ctx context.Context) (Contents, error) {
	token, err := s.token(ctx)
	if err != nil {
		return Contents{}, err
	}
	if s.client == "" {
		// A name of this process alone: a successor that were given the same token must not be answered
		// with this one's outcomes.
		s.client = fmt.Sprintf("config/%d/%s", token, rand.Text()[:12])
	}
	if err := s.declare(ctx); err != nil {
		return Contents{}, err
	}
	fence, err := put(headTable, fenceKey, &configv1.HeadRow{Revision: int64(token)})
	if err != nil {
		return Contents{}, err
	}
	if _, err := s.transact(ctx, nil, []*statev1.Operation{fence}); err != nil {
		return Contents{}, err
	}
	r, err := s.readAll(ctx)
	if err != nil {
		return Contents{}, err
	}
	s.revision, s.headRow, s.pending, s.kept = r.contents.Revision, r.headRow, r.pending, r.kept
	return r.contents, nil
}

// reading is everything at one moment.
type reading struct {
	contents Contents
	// at is the state store's revision of the moment, headRow that of the head row.
	at, headRow int64
	pending     bool
	kept        []record
}

func (s *Store) readAll(ctx context.Context) (*reading, error) {
	out := &reading{contents: Contents{Owners: map[string][]*gnmi.Path{}}}
	contents := &out.contents
	head := &configv1.HeadRow{}
	at, err := s.read(ctx, headTable, headKey, false, 0, func(row *statev1.Row) error {
		out.headRow = row.GetRevision()
		return proto.Unmarshal(row.GetValue(), head)
	})
	if err != nil {
		return nil, err
	}
	out.at = at
	_, err = s.read(ctx, objectTable, "", true, at, func(row *statev1.Row) error {
		object := &configv1.ObjectRow{}
		err := proto.Unmarshal(row.GetValue(), object)
		contents.Objects = append(contents.Objects, Object{Path: object.GetPath(), JSON: object.GetJson()})
		return err
	})
	if err != nil {
		return nil, err
	}
	_, err = s.read(ctx, ownerTable, "", true, at, func(row *statev1.Row) error {
		owner := &configv1.OwnerRow{}
		err := proto.Unmarshal(row.GetValue(), owner)
		contents.Owners[owner.GetComponent()] = owner.GetPatterns()
		return err
	})
	if err != nil {
		return nil, err
	}
	contents.Revision, out.pending = head.GetRevision(), head.GetPending()
	contents.Pending, out.kept, err = s.readRevisions(ctx, head, at)
	return out, err
}

// readRevisions learns which records are kept, and returns the pending one, if any.
func (s *Store) readRevisions(ctx context.Context, head *configv1.HeadRow, at int64) (pending *Revision, kept []record, err error) {
	_, err = s.read(ctx, revisionTable, "", true, at, func(row *statev1.Row) error {
		revision, err := strconv.ParseInt(row.GetKey(), 10, 64)
		if err != nil {
			return err
		}
		kept = append(kept, record{revision, len(row.GetValue())})
		if !head.GetPending() || revision != head.GetRevision() {
			return nil
		}
		pending, err = inverse(row.GetValue(), head.GetOwners())
		return err
	})
	if err == nil && head.GetPending() && pending == nil {
		err = fmt.Errorf("the head is pending at revision %d, which has no record", head.GetRevision())
	}
	return pending, kept, err
}

// inverse is the change that takes a recorded revision back.
func inverse(value []byte, owners []string) (*Revision, error) {
	record := &configv1.RevisionRow{}
	if err := proto.Unmarshal(value, record); err != nil {
		return nil, err
	}
	out := &Revision{
		Number: record.GetRevision(), Time: record.GetTime().AsTime(), User: record.GetUser(),
		Reverses: record.GetReverses(), Owners: owners,
	}
	for _, f := range record.GetFormer() {
		out.Changes = append(out.Changes, Change{Path: f.GetPath(), New: f.GetJson()})
	}
	return out, nil
}

// read calls fn for each row and returns the revision at which they were read.
func (s *Store) read(ctx context.Context, table, key string, prefix bool, revision int64, fn func(*statev1.Row) error) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.state.Read(ctx, &statev1.ReadRequest{Table: table, Key: key, Prefix: prefix, Revision: revision})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", table, err)
	}
	for at := revision; ; {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", table, err)
		}
		at = chunk.GetRevision()
		for _, row := range chunk.GetRows() {
			if err := fn(row); err != nil {
				return 0, fmt.Errorf("read %s, row %s: %w", table, row.GetKey(), err)
			}
		}
	}
}
