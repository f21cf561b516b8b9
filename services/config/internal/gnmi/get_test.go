// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"encoding/json"
	"strings"
	"testing"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

const ge0 = "/interfaces/interface[name=ge0]"

// furnished is a device with two interfaces, one of which has state.
func furnished(t testing.TB) *device {
	d := newDevice(t)
	d.configure(ge0+"/config", `{"name":"ge0","mtu":1400,"description":"to the quarry"}`, "/interfaces/interface[name=ge1]/config/mtu", "1500")
	d.publish(map[string]any{
		ge0 + "/state/name": "ge0", ge0 + "/state/mtu": 1400, ge0 + "/state/ifindex": 7, ge0 + "/state/oper-status": "UP",
		ge0 + "/state/counters/in-octets": 1 << 40,
	})
	return d
}

func TestCapabilities(t *testing.T) {
	d := newDevice(t)
	got, err := d.client.Capabilities(d.context(), &pb.CapabilityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetGNMIVersion() != "0.10.0" {
		t.Errorf("version %q, want that of the declaration we are built with", got.GetGNMIVersion())
	}
	for _, m := range got.GetSupportedModels() {
		if m.GetName() == "openconfig-interfaces" && m.GetVersion() != "" && m.GetOrganization() != "" {
			return
		}
	}
	t.Errorf("openconfig-interfaces is not among the models: %v", got.GetSupportedModels())
}

// TestAdvertisedEncodingsWork reads a leaf in each encoding, by Get and by Subscribe.
func TestAdvertisedEncodingsWork(t *testing.T) {
	d := furnished(t)
	capabilities, err := d.client.Capabilities(d.context(), &pb.CapabilityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	counter := ge0 + "/state/counters/in-octets"
	want := map[pb.Encoding]string{pb.Encoding_JSON: "1099511627776", pb.Encoding_JSON_IETF: `"1099511627776"`, pb.Encoding_PROTO: "1099511627776"}
	for _, encoding := range capabilities.GetSupportedEncodings() {
		got, err := d.client.Get(d.context(), &pb.GetRequest{Path: []*pb.Path{gpath.MustParse(counter)}, Encoding: encoding})
		if err != nil {
			t.Fatalf("%s: %v", encoding, err)
		}
		if v := got.GetNotification()[0].GetUpdate()[0].GetVal(); scalar(v) != want[encoding] {
			t.Errorf("%s: Get has %v, want %s", encoding, v, want[encoding])
		}
		l := list(pb.SubscriptionList_ONCE, 0, counter)
		l.Encoding = encoding
		if h := d.subscribe(l).untilSync(); h.values[counter] != want[encoding] {
			t.Errorf("%s: Subscribe has %v, want %s", encoding, h.values, want[encoding])
		}
	}
}

func TestGetDocuments(t *testing.T) {
	d := furnished(t)
	for _, tt := range []struct {
		desc, path string
		kind       pb.GetRequest_DataType
		want       []string // the paths that are answered
		with       string   // in the first value
		without    string
	}{
		{desc: "leaf", path: ge0 + "/config/mtu", want: []string{ge0 + "/config/mtu"}, with: "1400"},
		{desc: "default in use", path: ge0 + "/config/enabled", want: []string{ge0 + "/config/enabled"}, with: "true"},
		{desc: "container", path: ge0 + "/config", want: []string{ge0 + "/config"}, with: `"openconfig-interfaces:description":"to the quarry"`},
		{desc: "all data", path: ge0, want: []string{ge0}, with: `"oper-status":"UP"`},
		{desc: "configuration only", path: ge0, kind: pb.GetRequest_CONFIG, want: []string{ge0}, with: `"mtu":1400`, without: "oper-status"},
		{desc: "state only", path: ge0, kind: pb.GetRequest_STATE, want: []string{ge0}, with: `"mtu":1400`, without: "quarry"},
		{desc: "operational only", path: ge0, kind: pb.GetRequest_OPERATIONAL, want: []string{ge0}, with: "oper-status", without: `"mtu"`},
		{desc: "wildcard key", path: "/interfaces/interface[name=*]/config/mtu",
			want: []string{ge0 + "/config/mtu", "/interfaces/interface[name=ge1]/config/mtu"}, with: "1400"},
		{desc: "omitted key", path: "/interfaces/interface/config/mtu",
			want: []string{ge0 + "/config/mtu", "/interfaces/interface[name=ge1]/config/mtu"}, with: "1400"},
		{desc: "any depth", path: "/interfaces/.../in-octets", want: []string{ge0 + "/state/counters/in-octets"}, with: `"1099511627776"`},
		{desc: "root", path: "/", want: []string{"/"}, with: "openconfig-interfaces:interfaces"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			got, err := d.client.Get(d.context(), &pb.GetRequest{
				Path: []*pb.Path{gpath.MustParse(tt.path)}, Encoding: pb.Encoding_JSON_IETF, Type: tt.kind,
			})
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			for _, u := range got.GetNotification()[0].GetUpdate() {
				paths = append(paths, gpath.String(u.GetPath()))
				if !json.Valid(u.GetVal().GetJsonIetfVal()) {
					t.Errorf("no JSON: %s", u.GetVal().GetJsonIetfVal())
				}
			}
			if strings.Join(paths, " ") != strings.Join(tt.want, " ") {
				t.Fatalf("paths %v, want %v", paths, tt.want)
			}
			text := string(got.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal())
			if !strings.Contains(text, tt.with) || tt.without != "" && strings.Contains(text, tt.without) {
				t.Errorf("%s; want it with %q and without %q", text, tt.with, tt.without)
			}
		})
	}
}

func TestGetOfSeveralPaths(t *testing.T) {
	d := furnished(t)
	got, err := d.client.Get(d.context(), &pb.GetRequest{
		Prefix:   &pb.Path{Target: "router", Elem: gpath.MustParse("/interfaces").GetElem()},
		Path:     []*pb.Path{gpath.MustParse("/interface[name=ge0]/config/mtu"), gpath.MustParse("/interface[name=ge1]/config/mtu")},
		Encoding: pb.Encoding_PROTO,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetNotification()) != 2 {
		t.Fatalf("%d notifications for 2 paths", len(got.GetNotification()))
	}
	for _, n := range got.GetNotification() {
		if n.GetPrefix().GetTarget() != "router" || n.GetTimestamp() == 0 {
			t.Errorf("notification %v: want the target back, and a time", n)
		}
	}
	if v := got.GetNotification()[1].GetUpdate()[0].GetVal(); v.GetUintVal() != 1500 {
		t.Errorf("the second path has %v, want uint 1500", v)
	}
}

func TestGetRefusals(t *testing.T) {
	d := furnished(t)
	one := func(path string) *pb.GetRequest { return &pb.GetRequest{Path: []*pb.Path{gpath.MustParse(path)}} }
	for _, tt := range []struct {
		desc    string
		request *pb.GetRequest
		want    codes.Code
		named   string
	}{
		{"absent leaf", one("/interfaces/interface[name=ge1]/config/description"), codes.NotFound, "/interfaces/interface[name=ge1]/config/description"},
		{"absent entry", one("/interfaces/interface[name=ge9]"), codes.NotFound, "/interfaces/interface[name=ge9]"},
		{"one of two absent", &pb.GetRequest{Path: []*pb.Path{gpath.MustParse(ge0), gpath.MustParse("/interfaces/interface[name=ge9]")}}, codes.NotFound, "ge9"},
		{"path not in the model", one("/interfaces/interface[name=ge0]/config/colour"), codes.Unimplemented, "colour"},
		{"unknown module", one("/weather/state"), codes.Unimplemented, "/weather"},
		{"unknown key", one("/interfaces/interface[id=ge0]"), codes.InvalidArgument, "id"},
		{"keys on a container", one("/interfaces[name=ge0]"), codes.InvalidArgument, "/interfaces"},
		{"an element without a name", &pb.GetRequest{Path: []*pb.Path{{Elem: []*pb.PathElem{{}}}}}, codes.InvalidArgument, ""},
		{"the field element", &pb.GetRequest{Path: []*pb.Path{{Element: []string{"interfaces"}}}}, codes.InvalidArgument, "interfaces"},
		{"unknown origin", &pb.GetRequest{Path: []*pb.Path{{Origin: "srl", Elem: gpath.MustParse(ge0).GetElem()}}}, codes.Unimplemented, "srl"},
		{"origin twice", &pb.GetRequest{Prefix: &pb.Path{Origin: "openconfig"}, Path: []*pb.Path{{Origin: "openconfig", Elem: gpath.MustParse(ge0).GetElem()}}}, codes.InvalidArgument, "origin"},
		{"encoding ASCII", &pb.GetRequest{Path: []*pb.Path{{}}, Encoding: pb.Encoding_ASCII}, codes.Unimplemented, "ASCII"},
		{"encoding BYTES", &pb.GetRequest{Path: []*pb.Path{{}}, Encoding: pb.Encoding_BYTES}, codes.Unimplemented, "BYTES"},
		{"no path", &pb.GetRequest{}, codes.InvalidArgument, "paths"},
		{"unknown type", &pb.GetRequest{Path: []*pb.Path{{}}, Type: 9}, codes.InvalidArgument, "9"},
		{"unknown model", &pb.GetRequest{Path: []*pb.Path{{}}, UseModels: []*pb.ModelData{{Name: "weather"}}}, codes.Unimplemented, "weather"},
		{"some models", &pb.GetRequest{Path: []*pb.Path{{}}, UseModels: []*pb.ModelData{{Name: "openconfig-system"}}}, codes.Unimplemented, "use_models"},
		{"an extension", &pb.GetRequest{Path: []*pb.Path{{}}, Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_History{}}}}, codes.Unimplemented, "History"},
		{"an extension of somebody's", &pb.GetRequest{Path: []*pb.Path{{}}, Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_RegisteredExt{}}}}, codes.Unimplemented, "RegisteredExt"},
	} {
		_, err := d.client.Get(d.context(), tt.request)
		if status.Code(err) != tt.want || !strings.Contains(status.Convert(err).Message(), tt.named) {
			t.Errorf("%s: %v; want %s and %q in the message", tt.desc, err, tt.want, tt.named)
		}
	}
}

func TestGetWithAllModels(t *testing.T) {
	d := furnished(t)
	capabilities, err := d.client.Capabilities(d.context(), &pb.CapabilityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	request := &pb.GetRequest{Path: []*pb.Path{gpath.MustParse(ge0)}, UseModels: capabilities.GetSupportedModels()}
	if _, err := d.client.Get(d.context(), request); err != nil {
		t.Errorf("Get with every model: %v", err)
	}
}

func TestGetOfNothing(t *testing.T) {
	d := newDevice(t)
	got, err := d.client.Get(d.context(), &pb.GetRequest{Path: []*pb.Path{{}}})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.TypedValue{Value: &pb.TypedValue_JsonVal{JsonVal: []byte("{}")}}
	if n := got.GetNotification(); len(n) != 1 || n[0].GetPrefix() != nil || !proto.Equal(n[0].GetUpdate()[0].GetVal(), want) {
		t.Errorf("Get of an empty device: %v", got)
	}
}

// TestDepth limits how far below its paths a Get reads.
func TestDepth(t *testing.T) {
	d := furnished(t)
	for _, test := range []struct {
		desc, path  string
		level       uint32
		encoding    pb.Encoding
		want, spare []string
	}{
		{"all", ge0 + "/state", 0, pb.Encoding_JSON, []string{"mtu", "counters", "in-octets"}, nil},
		{"one level", ge0 + "/state", 1, pb.Encoding_JSON, []string{"mtu"}, []string{"counters"}},
		{"two levels", ge0 + "/state", 2, pb.Encoding_JSON, []string{"mtu", "in-octets"}, nil},
		{"one level of a list", "/interfaces", 2, pb.Encoding_JSON, []string{"ge0"}, []string{"mtu", "counters"}},
		{"a leaf", ge0 + "/state/mtu", 1, pb.Encoding_JSON, []string{"1400"}, nil},
		{"leaves of one level", ge0 + "/state", 1, pb.Encoding_PROTO, []string{"mtu"}, []string{"in-octets"}},
		{"leaves of two levels", ge0 + "/state", 2, pb.Encoding_PROTO, []string{"mtu", "in-octets"}, nil},
	} {
		t.Run(test.desc, func(t *testing.T) {
			got, err := d.client.Get(d.context(), &pb.GetRequest{
				Path: []*pb.Path{gpath.MustParse(test.path)}, Encoding: test.encoding,
				Extension: []*gnmi_ext.Extension{{Ext: &gnmi_ext.Extension_Depth{Depth: &gnmi_ext.Depth{Level: test.level}}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			text := got.String()
			for _, name := range test.want {
				if !strings.Contains(text, name) {
					t.Errorf("%s is missing: %s", name, text)
				}
			}
			for _, name := range test.spare {
				if strings.Contains(text, name) {
					t.Errorf("%s is too deep: %s", name, text)
				}
			}
		})
	}
}
