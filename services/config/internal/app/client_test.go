// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/services/config/internal/access"
	"github.com/ashlar-nos/ashlar/services/config/internal/accesstest"
)

// TestRealClient runs openconfig's gnmi_cli against the network listener: TLS 1.3, client certificate.
func TestRealClient(t *testing.T) {
	cli, err := filepath.Abs("../../../../build/tools/gnmi_cli")
	check(t, err)
	if _, err := os.Stat(cli); err != nil {
		t.Fatalf("%v: run `make tools` first", err)
	}
	d, _, _ := furnished(t, "never")
	client := d.gnmi()
	d.firstSet(client, host, `"quarry"`)
	// The files come while the service runs.
	dir := filepath.Join(d.layout.ComponentState("config"), "tls")
	check(t, os.MkdirAll(dir, 0o755))
	authority := accesstest.NewAuthority(t)
	authority.Install(dir)
	authority.Write(dir, "alice", authority.Client("alice", time.Now().Add(time.Hour)))
	accesstest.WriteUsers(t, filepath.Join(d.layout.ComponentState("config"), "users.json"), map[string]access.Role{"alice": access.Operator})
	l, err := net.FileListener(d.sockets["config"]["gnmi"])
	check(t, err)
	address := l.Addr().String()
	l.Close()
	command := func(args ...string) *exec.Cmd {
		return exec.Command(cli, append([]string{"-address", address, "-ca_crt", dir + "/ca.crt", "-client_crt", dir + "/alice.crt",
			"-client_key", dir + "/alice.key", "-server_name", "device", "-timeout", "20s"}, args...)...)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := command(args...).CombinedOutput()
		if err != nil {
			t.Fatalf("gnmi_cli %v: %v\n%s", args, err, out)
		}
		// The text format puts one space or two, as it likes.
		return strings.ReplaceAll(string(out), ":  ", ": ")
	}
	want(t, "capabilities", run("-capabilities"), `"openconfig-interfaces"`)
	want(t, "set", run("-set", "-proto", `update: <path: <elem: <name: "interfaces"> elem: <name: "interface" key: <key: "name" value: "ge0">>
		elem: <name: "config"> elem: <name: "mtu">> val: <uint_val: 1400>>`), "op: UPDATE")
	want(t, "get", run("-get", "-proto", `path: <elem: <name: "interfaces"> elem: <name: "interface" key: <key: "name" value: "ge0">>
		elem: <name: "config"> elem: <name: "mtu">> encoding: JSON_IETF`), "json_ietf_val: \"1400\"")
	want(t, "once", run("-q", "/interfaces/interface[name=ge0]/config", "-t", "router", "-qt", "once"), "1400")
	// The client ends a stream by its own deadline and calls that an error; what it has shown counts.
	streamed, _ := command("-q", "/interfaces/interface[name=*]/config/mtu", "-t", "router", "-qt", "streaming", "-streaming_duration", "1s").CombinedOutput()
	want(t, "streaming", string(streamed), "1400")
	out, err := exec.Command(cli, "-address", address, "-ca_crt", dir+"/ca.crt", "-server_name", "device", "-capabilities").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Unauthenticated") {
		t.Errorf("without a certificate: %v\n%s", err, out)
	}
}
