// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package contract tells what this binary knows of a contract, a protobuf package such as "ashlar.rib.v1",
// from the descriptors linked into it. Its functions are pure and safe for concurrent use.
package contract

import (
	"crypto/sha256"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	contractv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/contract/v1"
)

// Level is the level in a contract's declaration, 0 if it has none.
func Level(contract string) uint32 {
	var level uint32
	protoregistry.GlobalFiles.RangeFilesByPackage(protoreflect.FullName(contract), func(f protoreflect.FileDescriptor) bool {
		if v, ok := proto.GetExtension(f.Options(), contractv1.E_Level).(uint32); ok {
			level = max(level, v)
		}
		return true
	})
	return level
}

// Digest is the SHA-256 over the contract's file descriptors and all they import, without source
// information, ordered by path.
func Digest(contract string) [sha256.Size]byte {
	files := map[string]*descriptorpb.FileDescriptorProto{}
	protoregistry.GlobalFiles.RangeFilesByPackage(protoreflect.FullName(contract), func(f protoreflect.FileDescriptor) bool {
		collect(f, files)
		return true
	})
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	sum := sha256.New()
	for _, path := range paths {
		// Marshalling a descriptor cannot fail: it was parsed from bytes.
		b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(files[path])
		sum.Write(b)
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

func collect(f protoreflect.FileDescriptor, files map[string]*descriptorpb.FileDescriptorProto) {
	if files[f.Path()] != nil {
		return
	}
	d := protodesc.ToFileDescriptorProto(f)
	d.SourceCodeInfo = nil
	files[f.Path()] = d
	imports := f.Imports()
	for i := range imports.Len() {
		collect(imports.Get(i).FileDescriptor, files)
	}
}
