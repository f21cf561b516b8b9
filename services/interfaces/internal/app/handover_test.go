// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/app"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/sandbox"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

// addresses is what a process says it would make of the kernel, once it can say.
func addresses(t *testing.T, p *kittest.Process) *lifecyclev1.Output {
	t.Helper()
	var out *lifecyclev1.RehearseResponse
	kittest.Eventually(t, func() error {
		if out = p.Rehearse(); !out.GetSynced() {
			return errors.New(out.GetMissing())
		}
		return nil
	})
	if len(out.GetOutputs()) != 1 || out.GetOutputs()[0].GetName() != "addresses" {
		t.Fatalf("rehearsed %v", out)
	}
	return out.GetOutputs()[0]
}

func agree(t *testing.T, a, b *kittest.Process) {
	t.Helper()
	kittest.Eventually(t, func() error {
		if x, y := addresses(t, a), addresses(t, b); !bytes.Equal(x.GetDigest(), y.GetDigest()) {
			return fmt.Errorf("%q differs from %q", x.GetSample(), y.GetSample())
		}
		return nil
	})
}

// kernelQuiet asserts that the kernel's addresses change by nobody while f runs.
func kernelQuiet(t *testing.T, f func()) {
	t.Helper()
	updates, done := make(chan netlink.AddrUpdate, 64), make(chan struct{})
	defer close(done)
	sandbox.Must(t, netlink.AddrSubscribe(updates, done))
	f()
	// The mark that ends the list of what the kernel told.
	const mark = "198.18.9.1/32"
	sandbox.AddAddress(t, "far0", mark)
	defer sandbox.DeleteAddress(t, "far0", mark)
	for u := range updates {
		if u.LinkAddress.String() == mark {
			return
		}
		t.Errorf("%s was changed (added: %t)", u.LinkAddress.String(), u.NewAddr)
	}
}

// files are the component's files with their content.
func files(t *testing.T, d *kittest.Device) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(d.StateDir("interfaces"))
	sandbox.Must(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(d.StateDir("interfaces"), e.Name()))
		sandbox.Must(t, err)
		all = append(all, e.Name()+" "+string(b))
	}
	return all
}

func TestCandidateFollowsAndTouchesNothing(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	d := device(t, &dataplane{})
	// Nobody has the right to write: neither the kernel nor the disk may see anything of the configuration.
	d.Config.Preset(object("ge0", "192.0.2.1", "2001:db8:a::1"))
	kernelQuiet(t, func() {
		alone := d.Stage(app.New)
		for _, want := range []string{`ge0 enabled true, mtu 1500, description "to A"`, "ge0 address 192.0.2.1/24", "ge0 address 2001:db8:a::1/64"} {
			if got := addresses(t, alone).GetSample(); !slices.Contains(got, want) {
				t.Errorf("%q is not among %q", want, got)
			}
		}
		if left := files(t, d); len(left) != 0 {
			t.Errorf("files %q", left)
		}
		alone.Stop()
	})
	d.Run()
	d.WaitReady()
	next := d.Stage(app.New)
	agree(t, d.Running(), next)
	before := addresses(t, next).GetDigest()
	sandbox.Must(t, d.Config.Set(deadline(t), object("ge0", "192.0.2.7", "2001:db8:a::1")))
	kittest.Eventually(t, func() error {
		if bytes.Equal(before, addresses(t, next).GetDigest()) {
			return errors.New("the candidate does not follow the configuration")
		}
		return nil
	})
	agree(t, d.Running(), next)
}

// handOver makes a candidate the component as the supervisor does for components that transfer. between runs when
// the old process is gone.
func handOver(t *testing.T, d *kittest.Device, next *kittest.Process, between func()) []*lifecyclev1.Part {
	t.Helper()
	old := d.Running()
	sandbox.Must(t, old.Freeze())
	parts, err := old.Export()
	sandbox.Must(t, err)
	sandbox.Must(t, next.Import(parts))
	old.Drain()
	old.Wait()
	between()
	d.Use(next)
	return parts
}

// TestHandOver replaces the process: the kernel sees nothing of it, and what the old one knew the new one knows, even
// if the files are lost.
func TestHandOver(t *testing.T) {
	sandbox.Veth(t, "ge0", "far0")
	sandbox.AddAddress(t, "ge0", "10.20.30.1/24")
	plane := &dataplane{}
	d := device(t, plane)
	d.Config.Preset(object("ge0", "192.0.2.1", "2001:db8:a::1"))
	d.Run()
	d.WaitReady()
	var first []*lifecyclev1.Part
	kernelQuiet(t, func() {
		for _, lost := range []bool{false, true} {
			next := d.Stage(app.New)
			agree(t, d.Running(), next)
			parts := handOver(t, d, next, func() {
				for _, name := range []string{"found.json", "history.json"} {
					if lost {
						sandbox.Must(t, os.Remove(filepath.Join(d.StateDir("interfaces"), name)))
					}
				}
			})
			if first == nil {
				first = parts
			}
		}
		sandbox.Must(t, d.Running().Freeze())
		last, err := d.Running().Export()
		sandbox.Must(t, err)
		d.Running().Unfreeze()
		if len(last) != 3 || len(first) != 3 { // who exports, ge0 as it was found, and the history
			t.Fatalf("exported %v, then %v", first, last)
		}
		for i := range last {
			if last[i].GetSection() != first[i].GetSection() || !bytes.Equal(last[i].GetData(), first[i].GetData()) {
				t.Errorf("exported %s %s, then %s %s", first[i].GetSection(), first[i].GetData(), last[i].GetSection(), last[i].GetData())
			}
		}
	})
	if plane.port("ge0") == nil {
		t.Error("the dataplane lost its port")
	}
	sandbox.Must(t, d.Config.Set(deadline(t), map[string]string{fmt.Sprintf(pathOf, "ge0"): ""}))
	if has(t, "ge0", "192.0.2.1/24") || !has(t, "ge0", "10.20.30.1/24") || sandbox.Link(t, "ge0").Attrs().Flags&net.FlagUp != 0 {
		t.Error("the interface is not as it was found")
	}
}

func TestImportRefusesNonsense(t *testing.T) {
	d := device(t, &dataplane{})
	next := d.Stage(app.New)
	head := &lifecyclev1.Part{Component: "interfaces", Version: "9.9.9", Epoch: 1}
	if err := next.Import([]*lifecyclev1.Part{head, {Section: "found", Data: []byte("{")}}); err == nil {
		t.Error("accepted")
	}
	if err := next.Import([]*lifecyclev1.Part{head, {Section: "of a newer version", Data: []byte("{")}}); err != nil {
		t.Errorf("a section that is not known: %v", err)
	}
}
