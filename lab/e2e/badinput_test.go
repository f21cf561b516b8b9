// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/topology"
	"github.com/openconfig/gnmi/proto/gnmi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Wherever one element of a path is wrong, the error names it and nothing changes.
func TestWrongSetsAreRefused(t *testing.T) {
	r := configured(t)
	before := r.configuration(t)
	ge0 := intent.Interface("ge0")
	for _, test := range []struct {
		desc, path, value string
		code              codes.Code
		names             string
	}{
		{"unknown top", "/nonsense", `{}`, codes.NotFound, "nonsense"},
		{"unknown leaf", ge0 + "/config/colour", `"red"`, codes.NotFound, "colour"},
		{"module of nobody", "/acme-interfaces:interfaces/interface[name=ge0]/config/mtu", `1500`, codes.InvalidArgument, "acme-interfaces"},
		{"unknown key", "/interfaces/interface[colour=red]/config/mtu", `1500`, codes.InvalidArgument, "colour"},
		{"key missing", "/interfaces/interface/config/mtu", `1500`, codes.InvalidArgument, "interface"},
		{"state is not set", ge0 + "/state/oper-status", `"UP"`, codes.InvalidArgument, "state"},
		{"number for a boolean", ge0 + "/config/enabled", `1`, codes.InvalidArgument, "enabled"},
		{"text for a number", ge0 + "/config/mtu", `"large"`, codes.InvalidArgument, "mtu"},
		{"number out of range", ge0 + "/config/mtu", `70000`, codes.InvalidArgument, "mtu"},
		{"no JSON", ge0 + "/config/description", `{"`, codes.InvalidArgument, "description"},
		{"no address", ge0 + "/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=300.1.1.1]/config/prefix-length", `24`, codes.InvalidArgument, "address"},
		{"prefix too long", ge0 + "/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=192.0.2.9]/config/prefix-length", `33`, codes.InvalidArgument, "prefix-length"},
		{"address already in use", intent.Interface("ge1") + "/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=192.0.2.1]/config/prefix-length", `24`, codes.InvalidArgument, "192.0.2.1"},
		{"management port", intent.Interface(topology.ManagementPort) + "/config/description", `"mine"`, codes.InvalidArgument, topology.ManagementPort},
		{"no port", intent.Interface("lo") + "/config/description", `"mine"`, codes.InvalidArgument, "lo"},
		{"prefix with host bits", "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes/static[prefix=10.1.2.3/16]/next-hops/next-hop[index=1]/config/next-hop", `"198.51.100.10"`, codes.InvalidArgument, "prefix"},
		{"next hop of the other family", "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes/static[prefix=10.1.0.0/16]/next-hops/next-hop[index=1]/config/next-hop", `"2001:db8::1"`, codes.InvalidArgument, "next-hop"},
		{"no next hop at all", "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes/static[prefix=10.1.0.0/16]/next-hops/next-hop[index=1]/config/next-hop", `"somewhere"`, codes.InvalidArgument, "next-hop"},
		{"bad host name", "/system/config/hostname", `"-no-"`, codes.InvalidArgument, "hostname"},
	} {
		t.Run(strings.ReplaceAll(test.desc, " ", "-"), func(t *testing.T) {
			err := r.update(t.Context(), test.path, test.value)
			if status.Code(err) != test.code || err != nil && !strings.Contains(err.Error(), test.names) {
				t.Errorf("set %s to %s = %v; want %s that names %q", test.path, test.value, err, test.code, test.names)
			}
			if after := r.configuration(t); after != before {
				t.Errorf("the configuration changed:\n%s", after)
			}
		})
	}
	r.answers(t, everywhere...)
}

// One wrong part spoils the whole transaction.
func TestNothingOfAWrongTransactionStays(t *testing.T) {
	r := configured(t)
	const hostname = "/system/state/hostname"
	// State follows readiness by some milliseconds.
	until(t, hostname, func(ctx context.Context) error {
		_, err := r.get(ctx, hostname, gnmi.GetRequest_STATE)
		return err
	})
	before := r.configuration(t)
	_, err := r.Operate(t.Context(), "set",
		"--update", "/system/config/hostname=halfway",
		"--update", intent.Description("ge0")+"=halfway",
		"--update", intent.Interface("ge0")+"/config/mtu=70000")
	if err == nil {
		t.Error("it was accepted")
	}
	if after := r.configuration(t); after != before {
		t.Errorf("the configuration changed:\n%s", after)
	}
	if now, err := r.get(t.Context(), hostname, gnmi.GetRequest_STATE); err != nil || strings.Contains(now, "halfway") {
		t.Errorf("hostname %s, %v", now, err)
	}
}

func TestWrongGetsAreRefused(t *testing.T) {
	r := bare(t)
	for _, test := range []struct {
		path string
		code codes.Code
	}{
		{"/nonsense", codes.Unimplemented}, // the model has no such thing, now or ever
		{"/interfaces/interface[name=ge7]/state/oper-status", codes.NotFound},
		{"/interfaces/interface[colour=red]", codes.InvalidArgument},
	} {
		if _, err := r.get(t.Context(), test.path, gnmi.GetRequest_ALL); status.Code(err) != test.code {
			t.Errorf("get %s = %v, want %s", test.path, err, test.code)
		}
	}
}

// A next hop that cannot be reached is accepted, since that may change, and telemetry tells the truth.
func TestUnreachableNextHopIsPending(t *testing.T) {
	r := configured(t)
	const route = "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes/static[prefix=10.50.0.0/16]/next-hops/next-hop[index=1]"
	r.operate(t, route+"/config/next-hop=172.16.0.1")
	r.becomes(t, route+"/state/resolved", "false")
	reason, err := r.get(t.Context(), route+"/state/unresolved-reason", gnmi.GetRequest_STATE)
	if err != nil || !strings.Contains(reason, "172.16.0.1") {
		t.Errorf("reason %s, %v; want one that names the next hop", reason, err)
	}
	r.operate(t, "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/static-routes/static[prefix=172.16.0.0/24]/next-hops/next-hop[index=1]/config/next-hop=198.51.100.10")
	r.becomes(t, route+"/state/resolved", "true")
	r.answers(t, everywhere...)
}

// An interface may be configured before there is a link; when the link comes, the configuration takes effect.
func TestInterfaceThatDoesNotExistYet(t *testing.T) {
	const spare = "ge3"
	r := configured(t, spare)
	r.operate(t, intent.Description(spare)+"=later", intent.Address(spare, prefix("100.64.0.1/24")))
	r.becomes(t, intent.Interface(spare)+"/state/oper-status", `"NOT_PRESENT"`)
	r.answers(t, everywhere...)
	r.plug(t, spare)
	r.becomes(t, intent.Interface(spare)+"/state/oper-status", `"UP"`)
	r.hasAddress(t, spare, "100.64.0.1/24")
}

// garbage is written to sockets: nothing, bytes without sense, the beginning of sense.
func garbage() map[string][]byte {
	noise := make([]byte, 64<<10)
	rand.Read(noise)
	preface := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	return map[string][]byte{
		"nothing":         {},
		"noise":           noise,
		"zeros":           make([]byte, 64<<10),
		"HTTP/1":          []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"preface alone":   preface,
		"preface, noise":  append(preface[:len(preface):len(preface)], noise...),
		"frame of 16 MiB": append(preface[:len(preface):len(preface)], 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1),
		"TLS without end": {0x16, 3, 1, 0xff, 0xff, 1},
	}
}

func TestGarbageOnEverySocket(t *testing.T) {
	r := configured(t)
	before := r.configuration(t)
	pids := r.pids(t)
	var sockets []string
	err := filepath.WalkDir(r.Device.Layout.RunDir(), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type()&os.ModeSocket != 0 {
			sockets = append(sockets, path)
		}
		return err
	})
	if err != nil || len(sockets) < len(pids) {
		t.Fatalf("sockets %v, %v", sockets, err)
	}
	for _, socket := range sockets {
		for kind, text := range garbage() {
			pour(t, "unix", socket, kind, text)
		}
	}
	for kind, text := range garbage() {
		pour(t, "tcp", r.Address(), kind, text)
	}
	if after := r.pids(t); !maps.Equal(after, pids) {
		t.Errorf("processes before %v, after %v", pids, after)
	}
	if after := r.configuration(t); after != before {
		t.Errorf("the configuration changed:\n%s", after)
	}
	r.answers(t, everywhere...)
}

// pour writes to a socket and waits until the other side has had enough, or a moment has passed.
func pour(t *testing.T, network, address, kind string, text []byte) {
	t.Helper()
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	connection, err := dialer.DialContext(ctx, network, address)
	if errors.Is(err, unix.EPROTOTYPE) {
		connection, err = dialer.DialContext(ctx, "unixpacket", address)
	}
	if err != nil {
		t.Errorf("%s: %v", address, err)
		return
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := connection.Write(text); err != nil {
		return // it was refused, as it should be
	}
	if half, ok := connection.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	buffer := make([]byte, 4096)
	for {
		if _, err := connection.Read(buffer); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Logf("%s keeps a connection with %s open", address, kind)
			}
			return
		}
	}
}
