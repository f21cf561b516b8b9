// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package found

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
)

func sample() kernel.State {
	s := kernel.State{Link: kernel.Link{Index: 7, Name: "ge0", MTU: 1500, Up: true, Alias: "x", Knobs: kernel.Knobs{kernel.Off, kernel.On}}}
	for text, protocol := range map[string]uint8{"192.0.2.1/24": 0, "192.0.2.2/24": kernel.Protocol, "fe80::1/64": 3} {
		s.Addresses = append(s.Addresses, kernel.Address{Prefix: netip.MustParsePrefix(text), Protocol: protocol, Flags: unix.IFA_F_PERMANENT})
	}
	s.Addresses = append(s.Addresses, kernel.Address{Prefix: netip.MustParsePrefix("192.0.2.3/24")})
	s.Neighbors = []kernel.Neighbor{
		{Address: netip.MustParseAddr("192.0.2.9"), Hardware: []byte{2, 0, 0, 0, 0, 9}, State: unix.NUD_PERMANENT},
		{Address: netip.MustParseAddr("192.0.2.8"), Hardware: []byte{2, 0, 0, 0, 0, 8}, State: unix.NUD_REACHABLE},
		{Address: netip.MustParseAddr("192.0.2.7"), Hardware: []byte{2, 0, 0, 0, 0, 7}, State: unix.NUD_PERMANENT, Protocol: kernel.Protocol},
	}
	return s
}

func TestRecordLeavesOutWhatIsOursOrTheKernels(t *testing.T) {
	r := Of("boot/1", sample())
	if len(r.Addresses) != 1 || !r.Has(netip.MustParsePrefix("192.0.2.1/24")) {
		t.Errorf("addresses %v", r.Addresses)
	}
	if n := r.KernelNeighbors(); len(n) != 1 || n[0].Address.String() != "192.0.2.9" {
		t.Errorf("neighbours %v", n)
	}
	if !r.Describes("boot/1", kernel.Link{Index: 7}) || r.Describes("boot/2", kernel.Link{Index: 7}) || r.Describes("boot/1", kernel.Link{Index: 8}) {
		t.Error("the record does not know its link")
	}
}

func TestStoreOutlivesTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "interfaces")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Of("boot/1", sample())
	if err := s.Update(map[string]Record{"ge0": want, "ge1": {}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(nil, []string{"ge1"}); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Get("ge0"); !ok || !reflect.DeepEqual(got, want) || len(s.Names()) != 1 {
		t.Errorf("got %+v, names %v", got, s.Names())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".found-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFailedUpdateChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "interfaces")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(map[string]Record{"ge0": {}}, nil); err == nil || len(s.Names()) != 0 {
		t.Errorf("error %v, names %v", err, s.Names())
	}
}

func TestDamagedFileIsSetAside(t *testing.T) {
	for _, content := range []string{"", "{", "null", "[]", "\x00\x01"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "found.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir)
		if !errors.Is(err, ErrDamaged) || s == nil {
			t.Fatalf("%q: %v", content, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "found.json.damaged")); err != nil {
			t.Error(err)
		}
		if err := s.Update(map[string]Record{"ge0": {}}, nil); err != nil {
			t.Error(err)
		}
	}
}
