// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

func manifest(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../../component.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// table is one that the component under test may declare: the tests' user id is the component's own.
const table = "state.test"

// TestComponentKeepsRows runs the component as the supervisor would, twice on one state directory.
func TestComponentKeepsRows(t *testing.T) {
	d := kittest.Start(t, manifest(t), New)
	d.WaitReady()
	c := statev1.NewStateClient(d.Dial())
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(wrapperspb.File_google_protobuf_wrappers_proto),
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.DeclareTable(t.Context(), &statev1.DeclareTableRequest{Name: table, MessageType: "google.protobuf.Int64Value", DescriptorSet: set})
	if err != nil {
		t.Fatal(err)
	}
	put := &statev1.Operation{Operation: &statev1.Operation_Put{Put: &statev1.Row{Table: table, Key: "k", Value: []byte{0x08, 42}}}}
	if _, err := c.Transact(t.Context(), &statev1.TransactRequest{FencingToken: 1, Operations: []*statev1.Operation{put}}); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	d.Run()
	d.WaitReady()
	r, err := statev1.NewStateClient(d.Dial()).Read(t.Context(), &statev1.ReadRequest{Table: table, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Recv()
	if err != nil || len(got.GetRows()) != 1 || string(got.GetRows()[0].GetValue()) != "\x08\x2a" {
		t.Errorf("after a restart: %v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(d.StateDir("state"), "etcd")); err != nil {
		t.Error(err)
	}
}

// TestWatchEndsWithTheComponent: a watch does not hold up a drain.
func TestWatchEndsWithTheComponent(t *testing.T) {
	d := kittest.Start(t, manifest(t), New)
	d.WaitReady()
	w, err := statev1.NewStateClient(d.Dial()).Discover(t.Context(), &statev1.DiscoverRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { _, err := w.Recv(); ended <- err }()
	d.Stop()
	if err := <-ended; err == nil || errors.Is(err, t.Context().Err()) || !strings.Contains(err.Error(), "Unavailable") {
		t.Errorf("the watch ended with %v, want UNAVAILABLE", err)
	}
}

// gapLimit is how long clients may wait, on a machine that does other things too.
const gapLimit = 300 * time.Millisecond

// TestGap measures how long clients wait while the component is replaced: from the beginning of the drain until the
// successor is ready. The shortest of a few counts: a machine may be busy.
func TestGap(t *testing.T) {
	d := kittest.Start(t, manifest(t), New)
	d.WaitReady()
	best := time.Hour
	for range 5 {
		began := time.Now()
		d.Stop()
		stopped := time.Since(began)
		d.Run()
		d.WaitReady()
		gap := time.Since(began)
		t.Logf("stopped in %v, ready after %v", stopped.Round(time.Millisecond), gap.Round(time.Millisecond))
		best = min(best, gap)
	}
	if best > gapLimit {
		t.Errorf("the shortest gap was %v, want at most %v", best, gapLimit)
	}
}
