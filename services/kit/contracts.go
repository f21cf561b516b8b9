// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	contractv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/contract/v1"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// ownContracts is the prefix of the packages that manifests speak of.
const ownContracts = "ashlar."

// checkContracts compares what is served with what the manifest says: the same contracts, at the level that
// their declarations carry.
func checkContracts(m *manifest.Manifest, served map[string]grpc.ServiceInfo) error {
	packages := map[string]bool{}
	for service := range served {
		if name := service[:strings.LastIndexByte(service, '.')]; strings.HasPrefix(name, ownContracts) {
			packages[name] = true
		}
	}
	for name := range packages {
		if _, ok := m.Level(name); !ok {
			return fmt.Errorf("serves %s, which component.yaml does not list under provides", name)
		}
	}
	for _, p := range m.Provides {
		if strings.HasPrefix(p.Contract, ownContracts) && !packages[p.Contract] {
			return fmt.Errorf("component.yaml provides %s, which is not served", p.Contract)
		}
		if level := declaredLevel(p.Contract); level != 0 && level != p.Level {
			return fmt.Errorf("component.yaml provides %s at level %d, its declaration says %d", p.Contract, p.Level, level)
		}
	}
	return nil
}

// declaredLevel is the level in a contract's declaration, 0 if it has none.
func declaredLevel(contract string) uint32 {
	var level uint32
	protoregistry.GlobalFiles.RangeFilesByPackage(protoreflect.FullName(contract), func(f protoreflect.FileDescriptor) bool {
		if v, ok := proto.GetExtension(f.Options(), contractv1.E_Level).(uint32); ok {
			level = max(level, v)
		}
		return true
	})
	return level
}

// contractDigest is the SHA-256 over the contract's file descriptors and all they import, without source
// information, ordered by path.
func contractDigest(contract string) [sha256.Size]byte {
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
