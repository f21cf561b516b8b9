// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
)

// maxPart is how much data one part of an export may carry, in bytes.
const maxPart = 1 << 20

// Rehearse implements the contract: what the service says, or nothing when it has nothing to say.
func (l *lifecycle) Rehearse(ctx context.Context, _ *lifecyclev1.RehearseRequest) (*lifecyclev1.RehearseResponse, error) {
	r, ok := l.rt.service.(Rehearser)
	if !ok {
		return &lifecyclev1.RehearseResponse{Synced: true}, nil
	}
	rehearsal, err := r.Rehearse(ctx)
	if err != nil {
		return nil, asStatus(err)
	}
	out := &lifecyclev1.RehearseResponse{Synced: rehearsal.Synced, Missing: rehearsal.Missing}
	for _, o := range rehearsal.Outputs {
		out.Outputs = append(out.Outputs, o.wire())
	}
	return out, nil
}

// Export implements the contract. The first part says what exports and carries no data.
func (l *lifecycle) Export(_ *lifecyclev1.ExportRequest, stream grpc.ServerStreamingServer[lifecyclev1.ExportResponse]) error {
	m := l.rt.Manifest
	if !l.rt.stage.isFrozen() {
		return status.Errorf(codes.FailedPrecondition, "%s is not frozen: what it exported would be old at once", m.Name)
	}
	first := &lifecyclev1.Part{Component: m.Name, Version: m.Version, Epoch: m.State.Epoch}
	if err := stream.Send(&lifecyclev1.ExportResponse{Part: first}); err != nil {
		return err
	}
	t, ok := l.rt.service.(Transferrer)
	if !ok {
		return nil
	}
	err := t.Export(stream.Context(), func(section string, data []byte) error {
		if len(data) > maxPart {
			return fmt.Errorf("section %q of the export has a part of %d bytes, the limit is %d", section, len(data), maxPart)
		}
		return stream.Send(&lifecyclev1.ExportResponse{Part: &lifecyclev1.Part{Section: section, Data: data}})
	})
	if err != nil {
		return asStatus(err)
	}
	return nil
}

// Import implements the contract.
func (l *lifecycle) Import(stream grpc.ClientStreamingServer[lifecyclev1.ImportRequest, lifecyclev1.ImportResponse]) error {
	if l.rt.token.current() != 0 {
		return status.Errorf(codes.FailedPrecondition, "%s is active: it takes no export any more", l.rt.Manifest.Name)
	}
	first, err := receivePart(stream)
	if errors.Is(err, io.EOF) {
		return status.Error(codes.InvalidArgument, "the export is empty: not even its first part, which names the component, has come")
	}
	if err != nil {
		return err
	}
	if err := l.admit(first); err != nil {
		return err
	}
	if err := l.take(stream, first); err != nil {
		return asStatus(err)
	}
	return stream.SendAndClose(&lifecyclev1.ImportResponse{})
}

// admit judges an export by its first part.
func (l *lifecycle) admit(first *lifecyclev1.Part) error {
	m := l.rt.Manifest
	if first.GetComponent() != m.Name {
		return status.Errorf(codes.InvalidArgument, "the export is of %q, this is %q", first.GetComponent(), m.Name)
	}
	if first.GetEpoch() > m.State.Epoch {
		return status.Errorf(codes.InvalidArgument, "the export of %s %s has state epoch %d, version %s knows no later one than %d",
			m.Name, first.GetVersion(), first.GetEpoch(), m.Version, m.State.Epoch)
	}
	return nil
}

// take gives the parts to the service, the first one only if it carries something.
func (l *lifecycle) take(stream grpc.ClientStreamingServer[lifecyclev1.ImportRequest, lifecyclev1.ImportResponse], first *lifecyclev1.Part) error {
	next := func() (string, []byte, error) {
		part := first
		if first = nil; part == nil || part.GetSection() == "" && len(part.GetData()) == 0 {
			var err error
			if part, err = receivePart(stream); err != nil {
				return "", nil, err
			}
		}
		return part.GetSection(), part.GetData(), nil
	}
	if t, ok := l.rt.service.(Transferrer); ok {
		return t.Import(stream.Context(), next)
	}
	section, _, err := next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = status.Errorf(codes.InvalidArgument, "the export has a section %q, which version %s of %s does not know", section, l.rt.Manifest.Version, l.rt.Manifest.Name)
	}
	return err
}

func receivePart(stream grpc.ClientStreamingServer[lifecyclev1.ImportRequest, lifecyclev1.ImportResponse]) (*lifecyclev1.Part, error) {
	m, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	return m.GetPart(), nil
}
