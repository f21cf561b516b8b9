// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package topology_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/ashlar-nos/ashlar/lab/ping"
	"github.com/ashlar-nos/ashlar/lab/topology"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces: run them as root")
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func build(t *testing.T, suffix string) *topology.Topology {
	t.Helper()
	top, err := topology.Build(fmt.Sprintf("test-%d-%s", os.Getpid(), suffix))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		top.Close()
		if err := topology.Destroy(top.Name); err != nil {
			t.Error(err)
		}
		left(t, top)
	})
	return top
}

// left fails the test for anything that a destroyed network left behind.
func left(t *testing.T, top *topology.Topology) {
	t.Helper()
	if entries, _ := os.ReadDir(netns.Directory); len(entries) > 0 {
		for _, entry := range entries {
			if strings.Contains(entry.Name(), top.Name) {
				t.Errorf("left behind: namespace %s", entry.Name())
			}
		}
	}
	if _, err := netlink.LinkByName(top.Management.Interface); err == nil {
		t.Errorf("left behind: link %s", top.Management.Interface)
	}
}

func echo(from *netns.Namespace, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := ping.Until(ctx, from, netip.MustParseAddr(to))
	return err
}

func TestHostsAnswer(t *testing.T) {
	top := build(t, "hosts")
	if err := top.RouteByKernel(); err != nil {
		t.Fatal(err)
	}
	for _, destination := range []string{
		topology.LinkA.Port4.Addr().String(), topology.LinkB1.Host4.Addr().String(),
		topology.LinkB2.Host4.Addr().String(), "10.99.1.2", "10.98.200.9",
		topology.LinkB1.Host6.Addr().String(), topology.LinkB2.Host6.Addr().String(),
		"2001:db8:99::1:2", "2001:db8:98:ffff::1",
	} {
		if err := echo(top.HostA, destination); err != nil {
			t.Error(err)
		}
	}
}

func TestManagementReachesTheDevice(t *testing.T) {
	top := build(t, "mgmt")
	root, err := netns.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := echo(root, top.Management.Device.Addr().String()); err != nil {
		t.Error(err)
	}
}

func TestPortsAreLeftAlone(t *testing.T) {
	top := build(t, "ports")
	for _, port := range topology.Ports() {
		out, err := top.Device.Output(exec.Command("ip", "addr", "show", "dev", port))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(out), "inet") || strings.Contains(string(out), ",UP") {
			t.Errorf("%s was configured:\n%s", port, out)
		}
	}
}

func TestSideBySide(t *testing.T) {
	var wait sync.WaitGroup
	labs := make([]*topology.Topology, 3)
	for i := range labs {
		wait.Go(func() { labs[i] = build(t, fmt.Sprint("side-", i)) })
	}
	wait.Wait()
	seen := map[string]bool{}
	for _, lab := range labs {
		if lab == nil {
			t.FailNow()
		}
		if address := lab.Management.Root.String(); seen[address] {
			t.Errorf("management subnet %s is used twice", address)
		} else {
			seen[address] = true
		}
	}
}

func TestSecondBuildIsRefusedAndHarmless(t *testing.T) {
	top := build(t, "twice")
	if _, err := topology.Build(top.Name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Build = %v, want fs.ErrExist", err)
	}
	again, err := topology.Open(top.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Management != top.Management {
		t.Errorf("opened again: %+v, want %+v", again.Management, top.Management)
	}
}

func TestDestroyAfterACrash(t *testing.T) {
	name := fmt.Sprintf("test-%d-crash", os.Getpid())
	top, err := topology.Build(name)
	if err != nil {
		t.Fatal(err)
	}
	top.Close() // what is left of it when its maker was killed: names only
	if err := os.WriteFile(netns.Directory+"/ashlar-"+name+"-a-stray", nil, 0o444); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(netns.Directory + "/ashlar-" + name + "-a-stray")
	for range 2 {
		if err := topology.Destroy(name); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(netns.Directory + "/ashlar-" + name + "-a-stray")
	left(t, top)
}

func TestBadNames(t *testing.T) {
	for _, bad := range []string{"", "A", "a b", "../x", strings.Repeat("a", 60)} {
		if _, err := topology.Build(bad); err == nil {
			t.Errorf("Build(%q) succeeded", bad)
		}
	}
}
