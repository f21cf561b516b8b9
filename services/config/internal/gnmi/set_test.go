// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/commit"
	"github.com/ashlar-nos/ashlar/services/config/internal/owners"
	"github.com/ashlar-nos/ashlar/services/config/internal/store"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

func TestSetAnswersInOrder(t *testing.T) {
	d := furnished(t)
	prefix := &pb.Path{Target: "router", Origin: "openconfig", Elem: gpath.MustParse("/interfaces").GetElem()}
	got, err := d.client.Set(d.context(), &pb.SetRequest{
		Prefix:  prefix,
		Update:  []*pb.Update{update("/interface[name=ge2]/config/mtu", "1200"), update("/interface[name=ge2]/config/mtu", "1300")},
		Replace: []*pb.Update{update("/interface[name=ge2]/config", `{"name":"ge2","mtu":1100}`)},
		Delete:  []*pb.Path{gpath.MustParse("/interface[name=ge0]"), gpath.MustParse("/interface[name=ge7]")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var ops []string
	for _, r := range got.GetResponse() {
		ops = append(ops, r.GetOp().String()+" "+gpath.String(r.GetPath()))
	}
	want := "DELETE /interface[name=ge0] DELETE /interface[name=ge7] REPLACE /interface[name=ge2]/config " +
		"UPDATE /interface[name=ge2]/config/mtu UPDATE /interface[name=ge2]/config/mtu"
	if strings.Join(ops, " ") != want || got.GetPrefix().GetTarget() != "router" || got.GetTimestamp() == 0 {
		t.Errorf("answer %v", got)
	}
	read, err := d.client.Get(d.context(), &pb.GetRequest{
		Path: []*pb.Path{gpath.MustParse("/interfaces/interface/config/mtu")}, Encoding: pb.Encoding_PROTO, Type: pb.GetRequest_CONFIG,
	})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, u := range read.GetNotification()[0].GetUpdate() {
		left = append(left, gpath.String(u.GetPath())+"="+scalar(u.GetVal()))
	}
	if fmt.Sprint(left) != "[/interfaces/interface[name=ge1]/config/mtu=1500 /interfaces/interface[name=ge2]/config/mtu=1300]" {
		t.Errorf("afterwards there is %v", left)
	}
}

func TestSetRefusals(t *testing.T) {
	d := furnished(t)
	of := func(path, json string) *pb.SetRequest {
		return &pb.SetRequest{Update: []*pb.Update{update(path, json)}}
	}
	for _, tt := range []struct {
		desc    string
		request *pb.SetRequest
		want    codes.Code
		named   string
	}{
		{"path not in the model", of(ge0+"/config/colour", `"red"`), codes.NotFound, ge0 + "/config/colour"},
		{"value out of range", of(ge0+"/config/mtu", "70000"), codes.InvalidArgument, ge0 + "/config/mtu"},
		{"value of another type", of(ge0+"/config/mtu", `"wide"`), codes.InvalidArgument, ge0 + "/config/mtu"},
		{"no JSON", of(ge0+"/config", `{"mtu":`), codes.InvalidArgument, ge0 + "/config"},
		{"unknown member", of(ge0+"/config", `{"colour":"red"}`), codes.NotFound, ge0 + "/config/colour"},
		{"state", of(ge0+"/state/mtu", "1400"), codes.InvalidArgument, ge0 + "/state/mtu"},
		{"partial key", of("/interfaces/interface/config/mtu", "1400"), codes.InvalidArgument, "/interfaces/interface"},
		{"wildcard", of("/interfaces/interface[name=*]/config/mtu", "1400"), codes.InvalidArgument, "/interfaces/interface"},
		{"unknown key", of("/interfaces/interface[id=1]/config/mtu", "1400"), codes.InvalidArgument, "id"},
		{"contradicting key", of(ge0+"/config/name", `"ge1"`), codes.InvalidArgument, ge0},
		{"null", &pb.SetRequest{Replace: []*pb.Update{update(ge0+"/config", "null")}}, codes.InvalidArgument, ge0 + "/config"},
		{"no value", &pb.SetRequest{Update: []*pb.Update{{Path: gpath.MustParse(ge0)}}}, codes.InvalidArgument, ge0},
		{"union_replace", &pb.SetRequest{UnionReplace: []*pb.Update{update(ge0, "{}")}}, codes.Unimplemented, "union_replace"},
		{"commit-confirmed", &pb.SetRequest{Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_Commit{}}}}, codes.Unimplemented, "Commit"},
		{"master arbitration", &pb.SetRequest{Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_MasterArbitration{}}}}, codes.Unimplemented, "MasterArbitration"},
		{"CLI origin", &pb.SetRequest{Update: []*pb.Update{{Path: &pb.Path{Origin: "ashlar_cli"},
			Val: &pb.TypedValue{Value: &pb.TypedValue_AsciiVal{AsciiVal: "hostname x"}}}}}, codes.Unimplemented, "ashlar_cli"},
		{"a good and a bad one", &pb.SetRequest{Update: []*pb.Update{update(ge0+"/config/mtu", "1300"), update(ge0+"/config/mtu", "x")}}, codes.InvalidArgument, ge0},
	} {
		_, err := d.client.Set(d.context(), tt.request)
		if status.Code(err) != tt.want || !strings.Contains(status.Convert(err).Message(), tt.named) {
			t.Errorf("%s: %v; want %s and %q in the message", tt.desc, err, tt.want, tt.named)
		}
	}
	got, err := d.client.Get(d.context(), &pb.GetRequest{Path: []*pb.Path{gpath.MustParse(ge0 + "/config/mtu")}, Encoding: pb.Encoding_PROTO})
	if err != nil || got.GetNotification()[0].GetUpdate()[0].GetVal().GetUintVal() != 1400 {
		t.Errorf("after all the refusals: %v, %v", got, err)
	}
	if got, err := d.client.Set(d.context(), &pb.SetRequest{}); err != nil || len(got.GetResponse()) != 0 {
		t.Errorf("an empty Set: %v, %v", got, err)
	}
}

// TestEverySetIsOnRecord: one line for each, whatever becomes of it.
func TestEverySetIsOnRecord(t *testing.T) {
	d := furnished(t)
	mtu := ge0 + "/config/mtu"
	many := &pb.SetRequest{}
	for range maxPaths + 1 {
		many.Delete = append(many.Delete, gpath.MustParse(ge0))
	}
	for _, tt := range []struct {
		desc    string
		request *pb.SetRequest
		want    []string
	}{
		{"accepted", &pb.SetRequest{Update: []*pb.Update{update(mtu, "1401")}},
			[]string{`"level":"INFO"`, `"operations":1`, mtu, `"code":"OK"`, `"revision":7`, `"took":`, `"user":"mason"`, `"by":"password"`, `"peer":"bufconn"`}},
		{"refused by the model", &pb.SetRequest{Update: []*pb.Update{update(mtu, "70000")}},
			[]string{`"level":"WARN"`, mtu, `"code":"InvalidArgument"`, `"reason":`, `"user":"mason"`}},
		{"refused at once", &pb.SetRequest{UnionReplace: []*pb.Update{update(mtu, "1")}}, []string{`"code":"Unimplemented"`, mtu}},
		{"too many paths", many, []string{`"code":"InvalidArgument"`, `"operations":10001`, "want at most 10000"}},
	} {
		d.log.Reset()
		_, _ = d.client.Set(d.context(), tt.request)
		line := d.log.String()
		for _, want := range tt.want {
			if !strings.Contains(line, want) {
				t.Errorf("%s: the log has no %s: %s", tt.desc, want, line)
			}
		}
		if strings.Count(line, "\n") != 1 || len(line) > 2000 {
			t.Errorf("%s: the log is %d bytes: %s", tt.desc, len(line), line[:min(len(line), 2000)])
		}
	}
}

func TestCodesOfTheCommit(t *testing.T) {
	path := gpath.MustParse(ge0)
	for _, tt := range []struct {
		err  error
		want codes.Code
	}{
		{&commit.Refused{Path: ge0, Code: codes.Unimplemented}, codes.Unimplemented},
		{&commit.Refused{Path: ge0, Code: codes.Unavailable}, codes.Unavailable},
		{&owners.Refusal{Path: path, Code: codes.FailedPrecondition}, codes.FailedPrecondition},
		{&commit.Reversed{Revision: 3, Cause: &owners.Refusal{Path: path, Code: codes.Aborted}}, codes.Aborted},
		{fmt.Errorf("%w", commit.ErrBusy), codes.ResourceExhausted},
		{fmt.Errorf("%w", commit.ErrNotReady), codes.Unavailable},
		{fmt.Errorf("%w", commit.ErrWaiting), codes.Unavailable},
		{fmt.Errorf("%w (%w)", commit.ErrUnknown, context.DeadlineExceeded), codes.DeadlineExceeded},
		{fmt.Errorf("%w", store.ErrTooLarge), codes.ResourceExhausted},
		{fmt.Errorf("%w", store.ErrUnavailable), codes.Unavailable},
		{fmt.Errorf("%w", store.ErrRefused), codes.ResourceExhausted},
		{fmt.Errorf("%w", store.ErrLost), codes.Unavailable},
		{fmt.Errorf("%w", context.Canceled), codes.Canceled},
		{fmt.Errorf("%w", context.DeadlineExceeded), codes.DeadlineExceeded},
		{fmt.Errorf("anything else"), codes.Internal},
	} {
		if got := status.Code(setStatus(tt.err)); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
}
