// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// The tables, as records.proto describes them.
const (
	objectTable   = "config.objects"
	revisionTable = "config.revisions"
	headTable     = "config.head"
	ownerTable    = "config.owners"

	headKey = "head"
	// fenceKey is a row of the head table that each process writes first, so that nothing an older process
	// still has on the way can come after what this one reads.
	fenceKey = "fence"
)

// maxKey is how many bytes of a path are used as a key as they are; the store's limit is 1,024.
const maxKey = 900

func tables() map[string]proto.Message {
	return map[string]proto.Message{
		objectTable:   &configv1.ObjectRow{},
		revisionTable: &configv1.RevisionRow{},
		headTable:     &configv1.HeadRow{},
		ownerTable:    &configv1.OwnerRow{},
	}
}

// declare registers the tables.
func (s *Store) declare(ctx context.Context) error {
	for name, row := range tables() {
		files, err := proto.Marshal(fileSet(row.ProtoReflect().Descriptor().ParentFile()))
		if err != nil {
			return err
		}
		_, err = s.state.DeclareTable(ctx, &statev1.DeclareTableRequest{
			Name:          name,
			MessageType:   string(row.ProtoReflect().Descriptor().FullName()),
			DescriptorSet: files,
		})
		if err != nil {
			return fmt.Errorf("declare table %s: %w", name, err)
		}
	}
	return nil
}

// fileSet gathers a file and all it imports, imports first.
func fileSet(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(file)
	return set
}

// objectKey is the path as text, or its beginning and a digest of it.
func objectKey(path *gnmi.Path) string {
	text := gpath.String(path)
	if len(text) <= maxKey {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return text[:maxKey-65] + "#" + hex.EncodeToString(sum[:])
}

func revisionKey(revision int64) string { return fmt.Sprintf("%020d", revision) }

// commitOperations are the writes of a revision but for the head row; size is that of its record in bytes.
func commitOperations(r Revision) (ops []*statev1.Operation, size int, err error) {
	record := &configv1.RevisionRow{
		Revision: r.Number,
		Time:     timestamppb.New(r.Time),
		User:     r.User,
		Reverses: r.Reverses,
	}
	for _, c := range r.Changes {
		record.Former = append(record.Former, &configv1.FormerObject{Path: c.Path, Json: c.Old})
	}
	if ops, err = objectOperations(r.Changes); err != nil {
		return nil, 0, err
	}
	op, err := put(revisionTable, revisionKey(r.Number), record)
	if err != nil {
		return nil, 0, err
	}
	return append(ops, op), len(op.GetPut().GetValue()), nil
}

func objectOperations(changes []Change) ([]*statev1.Operation, error) {
	ops := make([]*statev1.Operation, 0, len(changes)+3)
	for _, c := range changes {
		if len(c.New) == 0 {
			ops = append(ops, drop(objectTable, objectKey(c.Path)))
			continue
		}
		op, err := put(objectTable, objectKey(c.Path), &configv1.ObjectRow{Path: c.Path, Json: c.New})
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}
