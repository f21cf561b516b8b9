// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package pkgapp_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/pkgapp"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/storetest"
)

// supervisor knows one component, which is not of a package.
type supervisor struct {
	supervisorv1.UnimplementedSupervisorServer
}

func (supervisor) List(context.Context, *supervisorv1.ListRequest) (*supervisorv1.ListResponse, error) {
	return &supervisorv1.ListResponse{SupervisorVersion: "1.0.0", Components: []*supervisorv1.ComponentStatus{
		{Name: "rib", Version: "1.0.0", Phase: supervisorv1.Phase_PHASE_READY},
	}}, nil
}

func start(t *testing.T) (*kittest.Device, pkgv1.PackagesClient, context.Context) {
	t.Helper()
	manifest, err := os.ReadFile("../../pkgmgrd/component.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := kittest.Start(t, manifest, pkgapp.New, kittest.Provide("supervisor", "ashlar.supervisor.v1",
		func(s grpc.ServiceRegistrar) { supervisorv1.RegisterSupervisorServer(s, supervisor{}) }))
	d.WaitReady()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return d, pkgv1.NewPackagesClient(d.Dial()), ctx
}

// A device that was not installed from packages has a package manager that says so.
func TestDeviceWithoutPackages(t *testing.T) {
	_, client, ctx := start(t)
	shown, err := client.Show(ctx, &pkgv1.ShowRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(shown.GetPackages()) != 0 || len(shown.GetRunning()) != 2 || shown.GetRunning()[1].GetComponent() != "rib" {
		t.Errorf("got %v", shown)
	}
	_, err = client.Propose(ctx, &pkgv1.ProposeRequest{Changes: []*pkgv1.Change{{Component: "rib"}}})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "pkgmgrd bootstrap") {
		t.Errorf("got %v, want words that say what is missing", err)
	}
	stream, err := client.Apply(ctx, &pkgv1.ApplyRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("Apply: got %v", err)
	}
}

func TestAdd(t *testing.T) {
	d, client, ctx := start(t)
	w := storetest.New(t)
	key, err := os.ReadFile(filepath.Join(w.Dir, "keys/lab.asc"))
	if err == nil {
		err = os.WriteFile(filepath.Join(d.Layout.ComponentState("pkgmgr"), "keys/lab.asc"), key, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := w.Package(storetest.Manifest("rib", "1.1.0", "takeover"), "program", nil)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := client.Add(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		name string
		data []byte
	}{{"broken.rpm", text[:100]}, {filepath.Base(file), text}} {
		for _, m := range []*pkgv1.AddRequest{
			{Message: &pkgv1.AddRequest_Name{Name: one.name}}, {Message: &pkgv1.AddRequest_Data{Data: one.data}},
		} {
			if err := stream.Send(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := stream.CloseAndRecv()
	if err != nil || len(got.GetFiles()) != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	if f := got.GetFiles()[0]; !strings.HasPrefix(f.GetRefusal(), "broken.rpm: ") || f.GetPackage() != nil {
		t.Errorf("got %v", f)
	}
	if p := got.GetFiles()[1].GetPackage(); p.GetVersion() != "1.1.0" || p.GetSigner() != w.Key.ID() || p.GetActive() {
		t.Errorf("got %v", p)
	}
	d.Stop()
	d.Run()
	d.WaitReady()
	shown, err := pkgv1.NewPackagesClient(d.Dial()).Show(ctx, &pkgv1.ShowRequest{})
	if err != nil || len(shown.GetPackages()) != 1 {
		t.Errorf("after a restart: %v, %v", shown, err)
	}
	discarded, err := pkgv1.NewPackagesClient(d.Dial()).Discard(ctx, &pkgv1.DiscardRequest{Packages: []string{"rib=1.1.0"}})
	if err != nil || len(discarded.GetDiscarded()) != 1 {
		t.Errorf("got %v, %v", discarded, err)
	}
}
