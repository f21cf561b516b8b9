// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command impostor is a component that only pretends: it is always ready, serves every contract of its manifest, refuses each
// call as unimplemented, and writes nothing. The manifest of the component it poses as is put in its place when it is compiled.
package main

import (
	"context"
	_ "embed"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	// The contracts that it may pose with.
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit"
)

//go:embed manifest.yaml
var manifest []byte

func main() { kit.Main(manifest, pose) }

// pose registers what the kit does not serve by itself.
func pose(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	for _, p := range rt.Manifest.Provides {
		if p.Contract == "ashlar.lifecycle.v1" || p.Contract == "ashlar.telemetry.v1" {
			continue
		}
		protoregistry.GlobalFiles.RangeFilesByPackage(protoreflect.FullName(p.Contract), func(f protoreflect.FileDescriptor) bool {
			for i := range f.Services().Len() {
				rt.Server.RegisterService(hollow(f.Services().Get(i)), nil)
			}
			return true
		})
	}
	return idle{}, nil
}

// hollow describes a service whose calls are all refused.
func hollow(s protoreflect.ServiceDescriptor) *grpc.ServiceDesc {
	refuse := status.Errorf(codes.Unimplemented, "%s only pretends", s.FullName())
	out := &grpc.ServiceDesc{ServiceName: string(s.FullName()), HandlerType: (*any)(nil), Metadata: s.ParentFile().Path()}
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		name := string(m.Name())
		if m.IsStreamingClient() || m.IsStreamingServer() {
			out.Streams = append(out.Streams, grpc.StreamDesc{StreamName: name, ClientStreams: m.IsStreamingClient(), ServerStreams: m.IsStreamingServer(),
				Handler: func(any, grpc.ServerStream) error { return refuse }})
			continue
		}
		out.Methods = append(out.Methods, grpc.MethodDesc{MethodName: name,
			Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
				return nil, refuse
			}})
	}
	return out
}

// idle is a service that does nothing.
type idle struct{}

// Run implements kit.Service.
func (idle) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Probe implements kit.Service.
func (idle) Probe(context.Context) error { return nil }
