// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package pins keeps the program, its maps and its links in the kernel beyond the daemon's life.
//
//	<directory>/<layout hash>/program, forwarding, shadows, counters; what package losses pins
//	<directory>/links/<interface index>
//
// Open adopts what is there when program and layout are this binary's; it loads a newer program on the same
// maps when only the program differs, and makes new maps beside the old ones when the layout does. Links
// of other programs are moved over by Swap, when the tables behind the new one are filled. Nothing here is
// safe for concurrent use.
package pins

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

const (
	programPin = "program"
	linksPin   = "links"
	nextSuffix = "-next" // what is not complete yet
)

// Store is the pinned state.
type Store struct {
	directory string
	layout    string
	log       *slog.Logger

	Objects *tables.Objects
	Memory  *tables.Memory
	// Adopted: program and maps are older than this process.
	Adopted bool

	links links
}

// Open takes over or makes everything under a directory of a BPF file system. The caller closes the store;
// what is pinned stays.
func Open(directory string, log *slog.Logger) (*Store, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(directory, &st); err != nil {
		return nil, fmt.Errorf("directory for pins %s: %w", directory, err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		return nil, fmt.Errorf("directory for pins %s is not on a BPF file system (mount -t bpf bpf /sys/fs/bpf)", directory)
	}
	layout, err := tables.LayoutHash()
	if err != nil {
		return nil, err
	}
	s := &Store{directory: directory, layout: layout, log: log}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, s.openLinks()
}

func (s *Store) tree() string { return filepath.Join(s.directory, s.layout) }

// Tree is the directory of the maps; what is pinned there goes when they go.
func (s *Store) Tree() string { return s.tree() }

func (s *Store) open() error {
	maps, err := loadMaps(s.tree())
	if errors.Is(err, fs.ErrNotExist) {
		return s.create()
	}
	if err != nil {
		return err
	}
	s.Objects = maps
	if s.Memory, err = maps.Map(); err != nil {
		return err
	}
	hash := tables.ProgramHash()
	if s.Memory.Tables.Control.Program == hash {
		if maps.Program, err = ebpf.LoadPinnedProgram(filepath.Join(s.tree(), programPin), nil); err == nil {
			s.Adopted = true
			return nil
		}
		s.log.Warn("pinned program cannot be adopted", "err", err)
	}
	loaded, err := tables.Load(maps)
	if err != nil {
		return err
	}
	_ = maps.Close() // Load has descriptors of its own
	s.Objects = loaded
	if err := pinProgram(loaded.Program, s.tree()); err != nil {
		return err
	}
	s.Memory.Tables.Control.Program = hash
	return nil
}

// loadMaps opens the maps of a tree; fs.ErrNotExist if there is no such tree.
func loadMaps(tree string) (*tables.Objects, error) {
	if _, err := os.Stat(tree); err != nil {
		return nil, err
	}
	o := &tables.Objects{}
	for name := range o.Maps() {
		m, err := ebpf.LoadPinnedMap(filepath.Join(tree, name), nil)
		if err != nil {
			_ = o.Close()
			return nil, fmt.Errorf("open pinned map %s: %w", name, errors.Join(err, errDamaged))
		}
		o.SetMap(name, m)
	}
	return o, nil
}

var errDamaged = errors.New("the pins are incomplete; remove the directory to start afresh")

func pinProgram(p *ebpf.Program, tree string) error {
	next := filepath.Join(tree, programPin+nextSuffix)
	if err := remove(next); err != nil {
		return err
	}
	if err := p.Pin(next); err != nil {
		return fmt.Errorf("pin the program: %w", err)
	}
	return os.Rename(next, filepath.Join(tree, programPin))
}

func remove(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove a stale pin: %w", err)
	}
	return nil
}

// create makes program and maps and pins them together: the tree appears complete or not at all.
func (s *Store) create() error {
	next := s.tree() + nextSuffix
	if err := remove(next); err != nil {
		return err
	}
	o, err := tables.Load(&tables.Objects{})
	if err != nil {
		return err
	}
	s.Objects = o
	if s.Memory, err = o.Map(); err != nil {
		return err
	}
	s.Memory.Tables.Control.Program = tables.ProgramHash()
	if err := os.Mkdir(next, 0o700); err != nil {
		return fmt.Errorf("make a directory for pins: %w", err)
	}
	for name, m := range o.Maps() {
		if err := m.Pin(filepath.Join(next, name)); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	if err := pinProgram(o.Program, next); err != nil {
		return err
	}
	if err := os.Rename(next, s.tree()); err != nil {
		return fmt.Errorf("publish the pins: %w", err)
	}
	return nil
}

// Renew gives up maps whose contents cannot be trusted and makes fresh ones. Links go on with the old
// program until Swap.
func (s *Store) Renew() error {
	s.release()
	if err := remove(s.tree()); err != nil {
		return err
	}
	s.Adopted = false
	for _, a := range s.links {
		a.foreign = true
	}
	return s.create()
}

func (s *Store) release() {
	if s.Memory != nil {
		s.Memory.Close()
		s.Memory = nil
	}
	if s.Objects != nil {
		_ = s.Objects.Close()
		s.Objects = nil
	}
}

// Close lets go of everything without unpinning it.
func (s *Store) Close() {
	s.links.close()
	s.release()
}

// SweepOthers removes the trees of other layouts, once no link uses them.
func (s *Store) SweepOthers() error {
	if s.Foreign() > 0 {
		return nil
	}
	entries, err := os.ReadDir(s.directory)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != s.layout && e.Name() != linksPin {
			if err := remove(filepath.Join(s.directory, e.Name())); err != nil {
				return err
			}
			s.log.Info("removed the tables of another layout", "layout", e.Name())
		}
	}
	return nil
}
