// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
)

// Registry is the table of service instances; its keys are "<service>/<instance>".
const Registry = reservedPrefix + "registry"

// declareRegistry declares the table as any writer would.
func (s *Store) declareRegistry(ctx context.Context) error {
	message := (&statev1.ServiceInstance{}).ProtoReflect().Descriptor()
	set, err := descriptorSet(message.ParentFile())
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return s.Declare(ctx, Owner, Registry, string(message.FullName()), set)
}

// descriptorSet serialises a file and everything it imports.
func descriptorSet(file protoreflect.FileDescriptor) ([]byte, error) {
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
	return proto.MarshalOptions{Deterministic: true}.Marshal(set)
}

// Register announces an instance of the caller under a new lease. An instance of the same name is replaced.
func (s *Store) Register(ctx context.Context, caller string, instance *statev1.ServiceInstance, ttl time.Duration) (int64, error) {
	leave, err := s.gate.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	service, name := instance.GetService(), instance.GetInstance()
	switch {
	case service != caller:
		return 0, fmt.Errorf("service %q: %w: %s registers itself only", service, ErrNotWriter, caller)
	case name == "" || strings.Contains(name, "/"):
		return 0, fmt.Errorf("%w instance %q: want a name without \"/\"", ErrInvalid, name)
	}
	key := service + "/" + name
	if err := checkKey(key); err != nil {
		return 0, err
	}
	value, err := proto.Marshal(instance)
	if err != nil {
		return 0, fmt.Errorf("%w instance: %w", ErrInvalid, err)
	}
	id, _, err := s.Grant(ctx, caller, ttl)
	if err != nil {
		return 0, err
	}
	if _, err := s.kv().Put(ctx, rowKey(Registry, key), string(value), clientv3.WithLease(clientv3.LeaseID(id))); err != nil {
		return 0, explain(err)
	}
	s.wrote()
	return id, nil
}

// SplitRegistryKey takes a key of the registry apart.
func SplitRegistryKey(key string) (service, instance string) {
	service, instance, _ = strings.Cut(key, "/")
	return service, instance
}
