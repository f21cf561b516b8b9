// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package peer_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

func as(uid uint32) context.Context {
	return grpcpeer.NewContext(context.Background(), &grpcpeer.Peer{AuthInfo: peer.AuthInfo{Identity: peer.Identity{UID: uid}}})
}

func policy(t *testing.T) *peer.Policy {
	t.Helper()
	file := filepath.Join(t.TempDir(), "roster.json")
	err := roster.Write(file, roster.Roster{Components: []roster.Component{{
		Name: "rib", UID: 10, Requires: []manifest.Requirement{{Contract: "ashlar.dataplane.v1", Levels: manifest.Levels{Min: 1}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return peer.NewPolicy(file)
}

func TestAllow(t *testing.T) {
	p := policy(t)
	for desc, tt := range map[string]struct {
		ctx    context.Context
		method string
		want   codes.Code
	}{
		"the operator":                  {as(0), "/ashlar.dataplane.v1.Dataplane/SetPorts", codes.OK},
		"a component with the edge":     {as(10), "/ashlar.dataplane.v1.Dataplane/SetPorts", codes.OK},
		"a component without the edge":  {as(10), "/ashlar.lifecycle.v1.Lifecycle/Drain", codes.PermissionDenied},
		"a prefix of the contract":      {as(10), "/ashlar.dataplane.v1x.Dataplane/SetPorts", codes.PermissionDenied},
		"a stranger":                    {as(99), "/ashlar.dataplane.v1.Dataplane/SetPorts", codes.PermissionDenied},
		"nobody known":                  {context.Background(), "/ashlar.dataplane.v1.Dataplane/SetPorts", codes.Unauthenticated},
		"a method without its slash":    {as(10), "ashlar.dataplane.v1.Dataplane/SetPorts", codes.InvalidArgument},
		"a method that is only a slash": {as(10), "/", codes.InvalidArgument},
	} {
		if got := status.Code(p.Allow(tt.ctx, tt.method)); got != tt.want {
			t.Errorf("%s: got %v, want %v", desc, got, tt.want)
		}
	}
}

func TestComponent(t *testing.T) {
	p := policy(t)
	for uid, want := range map[uint32]string{10: "rib", 0: "", 99: ""} {
		if got := p.Component(as(uid)); got != want {
			t.Errorf("uid %d is %q, want %q", uid, got, want)
		}
	}
}

func TestIdentityOfAConnection(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	got, err := peer.Of(server)
	if err != nil || got.PID != int32(os.Getpid()) || got.UID != uint32(os.Getuid()) {
		t.Errorf("got %v, %v, want this process", got, err)
	}
}

func TestOnlyUnixSocketsHaveAnIdentity(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := peer.Of(a); err == nil {
		t.Error("want an error for what is no unix socket")
	}
}
