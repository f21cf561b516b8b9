// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package store keeps the configuration in the state store: the objects, the revisions, the head with its
// pending mark, and what the owners declared. It is the one place that knows the tables.
//
// Commit is the decision of DESIGN's two-phase commit: it is one transaction, conditional on the head, and
// either it is on disk when Commit returns nil, or nothing changed (ErrUnavailable, ErrRefused), or this
// process no longer knows the truth (ErrLost) and must end, so that its successor reads it.
//
// A Store has one caller at a time; the commit's own serialisation sees to that.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
)

var (
	// ErrUnavailable says that the store cannot be reached and nothing was sent to it.
	ErrUnavailable = errors.New("the state store cannot be reached")
	// ErrRefused says that the store refused the transaction; nothing changed.
	ErrRefused = errors.New("the state store refused the transaction")
	// ErrLost says that another writer has the store, or that the outcome of a transaction cannot be known.
	// The process must end.
	ErrLost = errors.New("the state store no longer follows this process")
)

const (
	// reachable is how long a transaction waits for the connection before it is given up unsent.
	reachable = 2 * time.Second
	// attempt bounds one try; the transaction is tried again until its outcome is known.
	attempt = 5 * time.Second
	// retryPause is the pause between tries.
	retryPause = 50 * time.Millisecond
	// KeptRevisions is how many revisions are kept for history, if they are not larger than keptBytes
	// together; the newest is always kept.
	KeptRevisions = 100
	keptBytes     = 64 << 20
)

// Object is one configured object: the JSON of a subtree.
type Object struct {
	Path *gnmi.Path
	JSON []byte
}

// Change is one object before and after; no JSON means that it does not exist.
type Change struct {
	Path     *gnmi.Path
	Old, New []byte
}

// Revision is one commit.
type Revision struct {
	Number int64
	Time   time.Time
	User   string
	// Reverses is the revision that this one takes back, 0 for a client's own change.
	Reverses int64
	// Owners are the components that must have the change in effect before the pending mark goes. Nobody:
	// the commit is complete with the decision.
	Owners  []string
	Changes []Change
}

// Contents is everything the store holds at one moment.
type Contents struct {
	Revision int64
	Objects  []Object
	Owners   map[string][]*gnmi.Path
	// Pending is the newest commit if its owners are not known to have it in effect, with the former
	// values as New and nothing as Old: it is the change that takes it back.
	Pending *Revision
}

// Store writes the tables. Load must succeed before anything else.
type Store struct {
	conn   *grpc.ClientConn
	state  statev1.StateClient
	token  func(context.Context) (uint64, error)
	log    *slog.Logger
	client string

	sequence uint64
	revision int64
	// headRow is the state store's revision of the head row, 0 while there is none.
	headRow int64
	pending bool
	// kept are the revision records in the store, oldest first.
	kept []record
}

// record is a revision's record and its size in bytes.
type record struct {
	revision int64
	size     int
}

// New returns a store on a connection to the provider of ashlar.state.v1. token waits for and returns this
// process's fencing token.
func New(conn *grpc.ClientConn, token func(context.Context) (uint64, error), log *slog.Logger) *Store {
	return &Store{conn: conn, state: statev1.NewStateClient(conn), token: token, log: log}
}

// Revision is the newest revision.
func (s *Store) Revision() int64 { return s.revision }

// Commit writes a revision: its objects, its record and the pending mark (when it has owners). The errors
// are those of the package.
func (s *Store) Commit(ctx context.Context, r Revision) error {
	if r.Number != s.revision+1 {
		return fmt.Errorf("%w: revision %d does not follow %d", ErrRefused, r.Number, s.revision)
	}
	ops, size, err := commitOperations(r)
	if err != nil {
		return err
	}
	dropped := s.outdated(size)
	for _, old := range s.kept[:dropped] {
		ops = append(ops, drop(revisionTable, revisionKey(old.revision)))
	}
	if err := s.moveHead(ctx, ops, r.Number, r.Owners); err != nil {
		return err
	}
	s.kept = append(s.kept[dropped:], record{r.Number, size})
	return nil
}

// outdated is how many of the oldest records must go before one more of a size is kept.
func (s *Store) outdated(size int) int {
	total := size
	for _, k := range s.kept {
		total += k.size
	}
	n := 0
	for ; n < len(s.kept) && (len(s.kept)-n >= KeptRevisions || total > keptBytes); n++ {
		total -= s.kept[n].size
	}
	return n
}

// ClearPending takes the pending mark away: the newest revision is in effect everywhere.
func (s *Store) ClearPending(ctx context.Context) error {
	if !s.pending {
		return nil
	}
	return s.moveHead(ctx, nil, s.revision, nil)
}

// moveHead writes operations together with a new head row, on the condition that the head is as known.
func (s *Store) moveHead(ctx context.Context, ops []*statev1.Operation, revision int64, owners []string) error {
	head, err := put(headTable, headKey, &configv1.HeadRow{Revision: revision, Pending: len(owners) > 0, Owners: owners})
	if err != nil {
		return err
	}
	conditions := []*statev1.Condition{{Table: headTable, Key: headKey, Revision: s.headRow}}
	at, err := s.transact(ctx, conditions, append(ops, head))
	if err != nil {
		return err
	}
	s.revision, s.headRow, s.pending = revision, at, len(owners) > 0
	return nil
}

// SaveOwners remembers what a component declared and rewrites objects whose granularity changed with it:
// Old is the row that goes, New the one that comes.
func (s *Store) SaveOwners(ctx context.Context, rows map[string][]*gnmi.Path, rewrite []Change) error {
	var ops []*statev1.Operation
	for component, patterns := range rows {
		op, err := put(ownerTable, component, &configv1.OwnerRow{Component: component, Patterns: patterns})
		if len(patterns) == 0 {
			op = drop(ownerTable, component)
		}
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	objects, err := objectOperations(rewrite)
	if err != nil {
		return err
	}
	return s.moveOnly(ctx, append(ops, objects...))
}

// moveOnly writes operations on the condition that the head is as known, and leaves the head.
func (s *Store) moveOnly(ctx context.Context, ops []*statev1.Operation) error {
	if len(ops) == 0 {
		return nil
	}
	_, err := s.transact(ctx, []*statev1.Condition{{Table: headTable, Key: headKey, Revision: s.headRow}}, ops)
	return err
}

func put(table, key string, row proto.Message) (*statev1.Operation, error) {
	value, err := proto.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("%w: row %s of %s: %w", ErrRefused, key, table, err)
	}
	return &statev1.Operation{Operation: &statev1.Operation_Put{Put: &statev1.Row{Table: table, Key: key, Value: value}}}, nil
}

func drop(table, key string) *statev1.Operation {
	return &statev1.Operation{Operation: &statev1.Operation_Delete{Delete: &statev1.Delete{Table: table, Key: key}}}
}
