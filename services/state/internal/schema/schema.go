// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package schema knows the message types of tables: it builds them from descriptors, tells whether one
// can follow another, and judges values. It does no input or output; a Type is immutable and may be used
// by many goroutines.
package schema

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Type is the message type of a table's rows.
type Type struct {
	message protoreflect.MessageDescriptor
	set     []byte
}

// Parse builds the type from a serialised google.protobuf.FileDescriptorSet that holds the message and
// everything it imports.
func Parse(name string, set []byte) (*Type, error) {
	var files descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(set, &files); err != nil {
		return nil, fmt.Errorf("descriptor_set is no google.protobuf.FileDescriptorSet: %w", err)
	}
	registry, err := protodesc.NewFiles(&files)
	if err != nil {
		return nil, fmt.Errorf("descriptor_set: %w", err)
	}
	if !protoreflect.FullName(name).IsValid() {
		return nil, fmt.Errorf("message_type %q is no full protobuf name", name)
	}
	d, err := registry.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("message_type %q is not in descriptor_set", name)
	}
	m, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("message_type %q names no message", name)
	}
	return &Type{message: m, set: set}, nil
}

// Name is the full name of the message.
func (t *Type) Name() string { return string(t.message.FullName()) }

// DescriptorSet is what Parse was given.
func (t *Type) DescriptorSet() []byte { return t.set }

var errUnknown = errors.New("it has fields that the type does not know")

// Check reports why value is no message of the type. Fields that the type does not know count: a writer
// that is newer than the declared type declares its own first.
func (t *Type) Check(value []byte) error {
	m := dynamicpb.NewMessage(t.message)
	if err := proto.Unmarshal(value, m); err != nil {
		return fmt.Errorf("no %s: %w", t.Name(), err)
	}
	if hasUnknown(m) {
		return fmt.Errorf("no %s: %w", t.Name(), errUnknown)
	}
	return nil
}

func hasUnknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		found = fieldHasUnknown(f, v)
		return !found
	})
	return found
}

func fieldHasUnknown(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	found := false
	switch {
	case f.IsMap():
		if f.MapValue().Message() == nil {
			return false
		}
		v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
			found = hasUnknown(v.Message())
			return !found
		})
	case f.Message() == nil:
	case f.IsList():
		for i := 0; i < v.List().Len() && !found; i++ {
			found = hasUnknown(v.List().Get(i).Message())
		}
	default:
		found = hasUnknown(v.Message())
	}
	return found
}
