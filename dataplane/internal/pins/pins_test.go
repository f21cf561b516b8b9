// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

// directory is an empty one on a BPF file system.
func directory(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test loads XDP programs: run it as root")
	}
	const top = "/sys/fs/bpf"
	var st unix.Statfs_t
	must(t, unix.Statfs(top, &st))
	if st.Type != unix.BPF_FS_MAGIC {
		must(t, unix.Mount("bpf", top, "bpf", 0, ""))
	}
	dir, err := os.MkdirTemp(top, "pins-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func prepared(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Prepare(dir, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func taken(t *testing.T, dir string) *Store {
	t.Helper()
	s := prepared(t, dir)
	must(t, s.Take())
	return s
}

// pinned lists everything below a directory, and which program is pinned.
func pinned(t *testing.T, dir string) (all []string, program ebpf.ProgramID) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		all = append(all, path)
		if err == nil && d.Name() == programPin {
			p, loadErr := loadProgram(filepath.Dir(path))
			must(t, loadErr)
			defer p.Close()
			program = id(t, p)
		}
		return err
	}))
	return all, program
}

func id(t *testing.T, p *ebpf.Program) ebpf.ProgramID {
	t.Helper()
	i, err := identity(p)
	must(t, err)
	return i
}

func TestPreparingChangesNothing(t *testing.T) {
	dir := directory(t)
	first := prepared(t, dir)
	if all, _ := pinned(t, dir); len(all) != 1 || !first.Fresh {
		t.Fatalf("preparing left %v, fresh: %v", all, first.Fresh)
	}
	must(t, first.Take())
	names, program := pinned(t, dir)
	for _, test := range []struct {
		desc    string
		hash    [32]byte
		adopted bool
	}{
		{"the same program", tables.ProgramHash(), true},
		{"another program", [32]byte{1}, false},
	} {
		t.Run(test.desc, func(t *testing.T) {
			first.Memory.Tables.Control.Program = test.hash
			second := prepared(t, dir)
			if second.Adopted != test.adopted || second.Fresh {
				t.Errorf("adopted: %v, fresh: %v", second.Adopted, second.Fresh)
			}
			if n, p := pinned(t, dir); !slices.Equal(n, names) || p != program {
				t.Errorf("%v with program %d became %v with program %d", names, program, n, p)
			}
			if first.Memory.Tables.Control.Program != test.hash {
				t.Error("the tables were written to")
			}
		})
	}
}

func TestTakingReplacesTheProgramAndKeepsTheMaps(t *testing.T) {
	dir := directory(t)
	first := taken(t, dir)
	_, old := pinned(t, dir)
	first.Memory.Tables.Control.Program = [32]byte{1}
	first.Memory.Tables.Control.ProgrammerToken = 7
	second := taken(t, dir)
	if second.Adopted || second.Memory.Tables.Control.ProgrammerToken != 7 {
		t.Error("the maps were not kept")
	}
	if _, now := pinned(t, dir); now == old || now != id(t, second.Objects.Program) {
		t.Errorf("program %d is pinned, it was %d", now, old)
	}
	if first.Memory.Tables.Control.Program != tables.ProgramHash() {
		t.Error("the maps do not say which program is pinned")
	}
}

// TestTakingLooksAgain has the pins change between the two steps, as when a process that holds the right to
// write starts after another one was prepared.
func TestTakingLooksAgain(t *testing.T) {
	for _, test := range []struct {
		desc   string
		before func(dir string)
		change func(dir string)
	}{
		{"maps appear", func(string) {}, func(dir string) { taken(t, dir) }},
		{"maps are replaced", func(dir string) { taken(t, dir) }, func(dir string) { must(t, taken(t, dir).Renew()) }},
		{"the program is replaced", func(dir string) { taken(t, dir).Memory.Tables.Control.Program = [32]byte{1} }, func(dir string) { taken(t, dir) }},
		{"the program is replaced by its like", func(dir string) { taken(t, dir) }, func(dir string) {
			taken(t, dir).Memory.Tables.Control.Program = [32]byte{1}
			taken(t, dir)
		}},
	} {
		t.Run(test.desc, func(t *testing.T) {
			dir := directory(t)
			test.before(dir)
			s := prepared(t, dir)
			test.change(dir)
			_, want := pinned(t, dir)
			must(t, s.Take())
			if !s.Adopted || id(t, s.Objects.Program) != want {
				t.Errorf("adopted: %v, program %d, pinned is %d", s.Adopted, id(t, s.Objects.Program), want)
			}
		})
	}
}

// TestReplacementCompares: a link that runs another program than was seen is left alone.
func TestReplacementCompares(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with its namespace
	_, err := netns.New()
	must(t, err)
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "x0", MTU: 1500}, PeerName: "x1"}))
	l, err := netlink.LinkByName("x0")
	must(t, err)
	index := uint32(l.Attrs().Index)

	dir := directory(t)
	first := taken(t, dir)
	_, err = first.Attach(index)
	must(t, err)
	first.Memory.Tables.Control.Program = [32]byte{1}
	second := prepared(t, dir)
	second.before[id(t, first.Objects.Program)] = second.Objects.Program // not what the link runs
	if err := second.replace(first.links[index].link); err == nil {
		t.Fatal("a program was replaced that nobody had seen")
	}
	delete(second.before, id(t, first.Objects.Program))
	second.remember()
	if second.before[id(t, first.Objects.Program)] == nil {
		t.Fatal("the pinned program is not remembered")
	}
	must(t, second.replace(first.links[index].link))
	if _, now, err := describe(first.links[index].link); err != nil || now != id(t, second.Objects.Program) {
		t.Errorf("the link runs program %d, %v", now, err)
	}
}
