// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	hostv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// play serves a scripted device below root until stop.
func play(root string) (stop func(), err error) {
	l, err := layout.New(root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.RunDir(), 0o755); err != nil {
		return nil, err
	}
	var servers []*grpc.Server
	stop = func() {
		for _, s := range servers {
			s.Stop()
		}
	}
	for name, register := range map[string]func(*grpc.Server){
		"gnmi":       func(s *grpc.Server) { gnmi.RegisterGNMIServer(s, &fakeGNMI{record: filepath.Join(root, "set")}) },
		"supervisor": func(s *grpc.Server) { supervisorv1.RegisterSupervisorServer(s, &fakeSupervisor{}) },
		"rib":        func(s *grpc.Server) { ribv1.RegisterRibServer(s, fakeRib{}) },
		"dataplane":  func(s *grpc.Server) { dataplanev1.RegisterDataplaneServer(s, fakeDataplane{}) },
		"pkgmgr":     func(s *grpc.Server) { pkgv1.RegisterPackagesServer(s, newFakePackages()) },
		"host":       func(s *grpc.Server) { hostv1.RegisterHostServer(s, fakeHost{}) },
	} {
		listener, err := net.Listen("unix", l.Socket(name+".sock"))
		if err != nil {
			stop()
			return nil, err
		}
		s := grpc.NewServer()
		register(s)
		servers = append(servers, s)
		go func() { _ = s.Serve(listener) }()
	}
	return stop, nil
}

// serveTLS is the script command "serve-tls ROOT": it serves gNMI on loopback with the files that `ashlar init` made
// below ROOT, and puts the address into GNMI_ADDR.
func serveTLS(ts *testscript.TestScript, _ bool, args []string) {
	l, err := layout.New(ts.MkAbs(args[0]))
	ts.Check(err)
	dir := filepath.Join(l.ComponentState("config"), "tls")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	ts.Check(err)
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	ts.Check(err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		ts.Fatalf("ca.crt holds no certificate")
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven,
	})))
	gnmi.RegisterGNMIServer(s, &fakeGNMI{record: ts.MkAbs("set"), secured: true})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(s.Stop)
	go func() { _ = s.Serve(listener) }()
	ts.Setenv("GNMI_ADDR", listener.Addr().String())
	ts.Setenv("ASHLAR_ROOT", "")
}

// fakeGNMI answers from a table. It writes each Set to the record file.
type fakeGNMI struct {
	gnmi.UnimplementedGNMIServer
	record string
	// secured: callers need a certificate, or the password "correct horse".
	secured bool
	calls   atomic.Int64
}

var answers = map[string]string{
	"/system/config/hostname": `"leaf1"`,
	"/system":                 `{"openconfig-system:config": {"hostname": "leaf1"}, "openconfig-system:state": {"boot-time": "1700000000000000000"}}`,
	"/": `{"openconfig-system:system": {"config": {"hostname": "leaf1"}}, "openconfig-interfaces:interfaces": {"interface": [
		{"name": "ge0", "config": {"name": "ge0", "mtu": 1500}}]}}`,
	"/network-instances": `{"openconfig-network-instance:network-instance": [{"name": "DEFAULT", "protocols": {"protocol": [
		{"identifier": "openconfig-policy-types:STATIC", "name": "static", "static-routes": {"static": [{"prefix": "10.99.0.0/16"}]}}]}}]}`,
	"/interfaces": `{"openconfig-interfaces:interface": [
		{"name": "ge0", "config": {"name": "ge0", "enabled": true, "description": "to host A"},
		 "state": {"admin-status": "UP", "oper-status": "UP", "mtu": 1500, "counters": {"in-pkts": "12", "out-pkts": "34", "in-discards": "1"}},
		 "subinterfaces": {"subinterface": [{"index": 0,
		   "openconfig-if-ip:ipv4": {"addresses": {"address": [{"ip": "192.0.2.1", "config": {"ip": "192.0.2.1", "prefix-length": 24}, "state": {"ip": "192.0.2.1", "prefix-length": 24}}]}},
		   "openconfig-if-ip:ipv6": {"addresses": {"address": [{"ip": "2001:db8:a::1", "state": {"ip": "2001:db8:a::1", "prefix-length": 64}}]}}}]}},
		{"name": "ge9", "config": {"name": "ge9", "enabled": true}, "state": {"oper-status": "NOT_PRESENT"}}]}`,
	"/components": `{"openconfig-platform:component": [{"name": "rib", "state": {"name": "rib", "type": "openconfig-platform-types:SOFTWARE_MODULE",
		"software-version": "1.0.0", "oper-status": "openconfig-platform-types:ACTIVE", "description": "Best paths"}}]}`,
}

func (f *fakeGNMI) admit(ctx context.Context) error {
	if !f.secured {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if p := md.Get("password"); len(p) == 1 {
		if p[0] == "correct horse" && md.Get("username")[0] == "alice" {
			return nil
		}
		return status.Error(codes.Unauthenticated, "wrong user or password")
	}
	caller, _ := peer.FromContext(ctx)
	if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 && info.State.VerifiedChains[0][0].Subject.CommonName == "alice" {
		return nil
	}
	return status.Error(codes.Unauthenticated, "send a client certificate or username and password")
}

func (f *fakeGNMI) Capabilities(ctx context.Context, _ *gnmi.CapabilityRequest) (*gnmi.CapabilityResponse, error) {
	if err := f.admit(ctx); err != nil {
		return nil, err
	}
	return &gnmi.CapabilityResponse{
		GNMIVersion: "0.11.0", SupportedEncodings: []gnmi.Encoding{gnmi.Encoding_JSON_IETF, gnmi.Encoding_PROTO},
		SupportedModels: []*gnmi.ModelData{{Name: "openconfig-system", Organization: "OpenConfig working group", Version: "2.3.0"}},
	}, nil
}

func (f *fakeGNMI) Get(ctx context.Context, r *gnmi.GetRequest) (*gnmi.GetResponse, error) {
	if err := f.admit(ctx); err != nil {
		return nil, err
	}
	out := &gnmi.GetResponse{}
	for _, p := range r.GetPath() {
		text := gpath.String(p)
		switch {
		case text == "/slow":
			<-ctx.Done()
			return nil, ctx.Err()
		case text == "/flaky" && f.calls.Add(1) <= 3:
			return nil, status.Error(codes.Unavailable, "config is starting")
		case text == "/flaky":
			text = "/system/config/hostname"
		case text == "/down":
			return nil, status.Error(codes.Unavailable, "the owner of /down is away")
		}
		v, ok := answers[text]
		if !ok {
			return nil, status.Errorf(codes.NotFound, "%s: no such path; did you mean /system/config/hostname?", text)
		}
		out.Notification = append(out.Notification, &gnmi.Notification{Timestamp: 1, Update: []*gnmi.Update{{Path: p, Val: ietf(v)}}})
	}
	return out, nil
}

func ietf(text string) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(text)}}
}

func (f *fakeGNMI) Set(ctx context.Context, r *gnmi.SetRequest) (*gnmi.SetResponse, error) {
	if err := f.admit(ctx); err != nil {
		return nil, err
	}
	var lines []string
	out := &gnmi.SetResponse{}
	note := func(op gnmi.UpdateResult_Operation, p *gnmi.Path, v *gnmi.TypedValue) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", op, gpath.String(p), v.GetJsonIetfVal())))
		out.Response = append(out.Response, &gnmi.UpdateResult{Op: op, Path: p})
	}
	for _, p := range r.GetDelete() {
		note(gnmi.UpdateResult_DELETE, p, nil)
	}
	for _, u := range r.GetReplace() {
		note(gnmi.UpdateResult_REPLACE, u.GetPath(), u.GetVal())
	}
	for _, u := range r.GetUpdate() {
		if string(u.GetVal().GetJsonIetfVal()) == "70000" {
			return nil, status.Errorf(codes.InvalidArgument, "%s: 70000 is above 65535", gpath.String(u.GetPath()))
		}
		note(gnmi.UpdateResult_UPDATE, u.GetPath(), u.GetVal())
	}
	return out, os.WriteFile(f.record, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

func (f *fakeGNMI) Subscribe(stream gnmi.GNMI_SubscribeServer) error {
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	list := r.GetSubscribe()
	send := func(n *gnmi.Notification) error {
		return stream.Send(&gnmi.SubscribeResponse{Response: &gnmi.SubscribeResponse_Update{Update: n}})
	}
	path := list.GetSubscription()[0].GetPath()
	mode := list.GetSubscription()[0]
	value := fmt.Sprintf("%q", strings.ToLower(list.GetMode().String()+" "+mode.GetMode().String())+fmt.Sprint(" ", mode.GetSampleInterval()))
	if err := send(&gnmi.Notification{Timestamp: 1_500_000_000, Update: []*gnmi.Update{{Path: path, Val: ietf(value)}}}); err != nil {
		return err
	}
	if err := stream.Send(&gnmi.SubscribeResponse{Response: &gnmi.SubscribeResponse_SyncResponse{SyncResponse: true}}); err != nil {
		return err
	}
	if list.GetMode() == gnmi.SubscriptionList_ONCE {
		return nil
	}
	if err := send(&gnmi.Notification{Timestamp: 2_500_000_000, Delete: []*gnmi.Path{path}}); err != nil {
		return err
	}
	if f.calls.Add(1) == 1 {
		return status.Error(codes.Unavailable, "config drains")
	}
	return status.Error(codes.ResourceExhausted, "the script is over")
}
