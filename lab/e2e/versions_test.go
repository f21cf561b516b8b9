// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/lab/topology"
	"github.com/ashlar-nos/ashlar/lab/trial"
	"github.com/ashlar-nos/ashlar/lab/upgrade"
	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	hostv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// behaviour asks a device for what only the newer version of a component can do.
type behaviour struct {
	component string
	can       func(ctx context.Context, connect func(socket string) *grpc.ClientConn) (bool, error)
}

// absent is the answer of a version that does not know a method.
func absent(err error) bool { return status.Code(err) == codes.Unimplemented }

func behaviours() []behaviour {
	nowhere := []byte{100, 64, 99, 77}
	return []behaviour{
		{"rib", func(ctx context.Context, connect func(string) *grpc.ClientConn) (bool, error) {
			_, err := ribv1.NewRibClient(connect("rib.sock")).Explain(ctx, &ribv1.ExplainRequest{Address: nowhere})
			if absent(err) {
				return false, nil
			}
			return err == nil, err
		}},
		{"dataplane", func(ctx context.Context, connect func(string) *grpc.ClientConn) (bool, error) {
			to := topology.Single4.Addr().Next().AsSlice()
			answer, err := dataplanev1.NewDataplaneClient(connect("dataplane.sock")).Lookup(ctx, &dataplanev1.LookupRequest{Address: to})
			hops := answer.GetRoute().GetNextHops()
			return len(hops) > 0 && hops[0].GetPackets() > 0, err
		}},
		{"config", func(ctx context.Context, connect func(string) *grpc.ClientConn) (bool, error) {
			_, err := gnmi.NewGNMIClient(connect("gnmi.sock")).Get(ctx, &gnmi.GetRequest{
				Path:      []*gnmi.Path{gpath.MustParse("/interfaces/interface[name=ge0]/config")},
				Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_Depth{Depth: &gnmi_ext.Depth{Level: 1}}}},
			})
			if absent(err) {
				return false, nil
			}
			return err == nil, err
		}},
		{"interfaces", func(ctx context.Context, connect func(string) *grpc.ClientConn) (bool, error) {
			stream, err := interfacesv1.NewInterfacesClient(connect("interfaces.sock")).Watch(ctx, &interfacesv1.WatchRequest{})
			if err != nil {
				return false, err
			}
			m, err := stream.Recv()
			return m.GetInterface().GetCarrierChanges() > 0, err
		}},
		{"host", func(ctx context.Context, connect func(string) *grpc.ClientConn) (bool, error) {
			stream, err := hostv1.NewHostClient(connect("host.sock")).Ping(ctx, &hostv1.PingRequest{Destination: "100.64.99.77", Count: 1})
			for err == nil {
				var m *hostv1.PingResponse
				if m, err = stream.Recv(); m.GetSummary() != nil {
					return strings.Contains(m.GetSummary().GetExplanation(), "no route"), err
				}
			}
			return false, err
		}},
		{"state", func(ctx context.Context, connect func(string) *grpc.ClientConn) (bool, error) {
			client := statev1.NewStateClient(connect("state.sock"))
			watch, err := client.Watch(ctx, &statev1.WatchRequest{Table: "config.head"})
			if err == nil {
				_, err = watch.Recv()
			}
			if err != nil {
				return false, err
			}
			answer, err := client.GetStatus(ctx, &statev1.GetStatusRequest{})
			return answer.GetWatches() > 0, err
		}},
		{"pkgmgr", func(ctx context.Context, connect func(string) *grpc.ClientConn) (bool, error) {
			answer, err := pkgv1.NewPackagesClient(connect("pkgmgr.sock")).Show(ctx, &pkgv1.ShowRequest{})
			return answer.GetStoreBytes() > 0, err
		}},
		{"supervisor", func(ctx context.Context, connect func(string) *grpc.ClientConn) (bool, error) {
			answer, err := supervisorv1.NewSupervisorClient(connect("supervisor.sock")).List(ctx, &supervisorv1.ListRequest{})
			return len(answer.GetComponents()) > 0 && answer.GetComponents()[0].GetOpenFiles() > 0, err
		}},
	}
}

// check fails where a component can what it should not, or cannot what it should.
func check(t *testing.T, r *trial.Trial, want bool) {
	t.Helper()
	connect := func(socket string) *grpc.ClientConn {
		conn, err := grpc.NewClient("unix://"+r.Lab.Device.Layout.Socket(socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for _, b := range behaviours() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		got, err := b.can(ctx, connect)
		cancel()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the stream ended early: %w", err)
		}
		if err != nil || got != want {
			t.Errorf("%s: the newer version's behaviour is there: %v, want %v (%v)", b.component, got, want, err)
		}
	}
}

// Both versions of each component behave as they say; all of them are upgraded in one operation.
func TestVersionsDiffer(t *testing.T) {
	r := installed(t)
	r.Automation.Strict(true)
	check(t, r, false)
	var changes []string
	for _, component := range trial.Components() {
		changes = append(changes, component+"="+r.Repository.Newest(component))
	}
	result, err := r.Packages.Upgrade(t.Context(), upgrade.Options{Soak: soak, Commit: true}, changes...)
	if err := errors.Join(err, result.Err()); err != nil {
		t.Fatal(err)
	}
	if v := r.Judge(t.Context(), "rib", r.Repository.Newest("rib")); v.Fault != nil {
		t.Error(v.Fault)
	}
	check(t, r, true)
}
