// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/ping"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// build is where `make build` puts things.
const build = "../../build"

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests run whole devices in network namespaces: run them as root")
		os.Exit(1)
	}
	// What is tested must be what the tree says now.
	make := exec.Command("make", "--silent", "--directory", "../..", "build")
	make.Env = append(os.Environ(), "MAKEFLAGS=")
	if out, err := make.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "make build: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// rig is a lab with a gNMI client.
type rig struct {
	*instance.Lab
	gnmi gnmi.GNMIClient
}

// patience bounds every wait of these tests.
const patience = 60 * time.Second

// name is the test's own lab; names are short.
func name(t *testing.T) string {
	return fmt.Sprintf("e2e-%d-%08x", os.Getpid(), crc32.ChecksumIEEE([]byte(t.Name())))
}

// bare starts a device without configuration and takes it away after the test.
func bare(t *testing.T, spare ...string) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lab, err := instance.Up(ctx, build, name(t), spare...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(lab.KeepLogs())
		}
		lab.Close()
		if err := instance.Down(context.Background(), build, lab.Name); err != nil {
			t.Error(err)
		}
	})
	connection, err := grpc.NewClient("unix://"+lab.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return &rig{Lab: lab, gnmi: gnmi.NewGNMIClient(connection)}
}

// configured starts a device with the lab's addresses and routes.
func configured(t *testing.T, spare ...string) *rig {
	t.Helper()
	r := bare(t, spare...)
	r.operate(t, append(intent.Interfaces(), intent.Routes()...)...)
	return r
}

// operate sets by the command line what must be accepted.
func (r *rig) operate(t *testing.T, updates ...string) {
	t.Helper()
	arguments := []string{"set"}
	for _, update := range updates {
		arguments = append(arguments, "--update", update)
	}
	if out, err := r.Operate(t.Context(), arguments...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// update sets one path to a JSON value.
func (r *rig) update(ctx context.Context, path, value string) error {
	p, err := gpath.Parse(path)
	if err != nil {
		return err
	}
	_, err = r.gnmi.Set(ctx, &gnmi.SetRequest{Update: []*gnmi.Update{{Path: p, Val: ietf(value)}}})
	return err
}

func ietf(value string) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: []byte(value)}}
}

// get reads one path and returns its JSON.
func (r *rig) get(ctx context.Context, path string, kind gnmi.GetRequest_DataType) (string, error) {
	p, err := gpath.Parse(path)
	if err != nil {
		return "", err
	}
	answer, err := r.gnmi.Get(ctx, &gnmi.GetRequest{Path: []*gnmi.Path{p}, Type: kind, Encoding: gnmi.Encoding_JSON_IETF})
	if err != nil {
		return "", err
	}
	var values []string
	for _, n := range answer.GetNotification() {
		for _, u := range n.GetUpdate() {
			values = append(values, string(u.GetVal().GetJsonIetfVal()))
		}
	}
	return strings.Join(values, "\n"), nil
}

// configuration is everything that was set.
func (r *rig) configuration(t *testing.T) string {
	t.Helper()
	text, err := r.get(t.Context(), "/", gnmi.GetRequest_CONFIG)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// until asks again until the condition holds.
func until(t *testing.T, what string, condition func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := condition(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, last)
		case <-ticker.C:
		}
	}
}

// becomes waits for a leaf's value.
func (r *rig) becomes(t *testing.T, path, want string) {
	t.Helper()
	until(t, path, func(ctx context.Context) error {
		got, err := r.get(ctx, path, gnmi.GetRequest_ALL)
		if err == nil && got != want {
			err = fmt.Errorf("is %s, not %s", got, want)
		}
		return err
	})
}

// answers pings from host A.
func (r *rig) answers(t *testing.T, addresses ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, address := range addresses {
		if _, err := ping.Until(ctx, r.Topology.HostA, netip.MustParseAddr(address)); err != nil {
			t.Fatal(err)
		}
	}
}

// pids are the processes of the components.
func (r *rig) pids(t *testing.T) map[string]int32 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Device.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	pids := map[string]int32{}
	for _, name := range r.Device.Components() {
		pids[name] = r.Device.Status(name).GetPid()
	}
	return pids
}

// replaceRoot makes the configuration what it was.
func (r *rig) replaceRoot(t *testing.T, configuration string) {
	t.Helper()
	_, err := r.gnmi.Set(t.Context(), &gnmi.SetRequest{Replace: []*gnmi.Update{{Path: &gnmi.Path{}, Val: ietf(configuration)}}})
	if err != nil {
		t.Fatalf("put the configuration back: %v", err)
	}
}
