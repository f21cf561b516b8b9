// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package pins keeps the program, its maps and its links in the kernel beyond the daemon's life.
//
//	<directory>/<layout hash>/program, forwarding, shadows, counters; what package losses pins
//	<directory>/links/<interface index>
//
// Prepare looks and loads, and changes nothing that anybody could see: it finds what is there when program and
// layout are this binary's, loads another program on the same maps when only the program differs, and makes new
// maps when the layout does. Take, which needs the right to write, pins that. Links of other programs are moved
// over by Swap, when the tables behind the new one are filled. Nothing here is safe for concurrent use.
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

// Store is the pinned state, or what is prepared to be it.
type Store struct {
	directory string
	layout    string
	log       *slog.Logger

	Objects *tables.Objects
	Memory  *tables.Memory
	// Adopted: program and maps are older than this process.
	Adopted bool
	// Fresh: the maps are new and nobody knows them yet.
	Fresh bool

	links links
	// before are programs that links may still run, for comparing when they are replaced.
	before map[ebpf.ProgramID]*ebpf.Program
}

// Prepare has the kernel accept the program and opens or makes its maps, beside whoever works with them now. The
// directory is on a BPF file system. The caller closes the store.
func Prepare(directory string, log *slog.Logger) (*Store, error) {
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
	s := &Store{directory: directory, layout: layout, log: log, before: map[ebpf.ProgramID]*ebpf.Program{}}
	if err := s.prepare(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Take makes the pinned state that of this store. Only the holder of the right to write may call it, once;
// what is pinned outlives the store.
func (s *Store) Take() error {
	current, err := s.current()
	if err != nil {
		return err
	}
	if !current {
		s.log.Info("the pins have changed since the program was loaded; loading it again")
		s.release()
		if err := s.prepare(); err != nil {
			return err
		}
	}
	s.remember()
	switch {
	case s.Fresh:
		err = s.publish()
	case !s.Adopted:
		err = s.replaceProgram()
	}
	if err != nil {
		return err
	}
	return s.openLinks()
}

func (s *Store) tree() string { return filepath.Join(s.directory, s.layout) }

// Layout is the hash of the layout of this binary's maps.
func (s *Store) Layout() string { return s.layout }

// Tree is the directory of the maps; what is pinned there goes when they go.
func (s *Store) Tree() string { return s.tree() }

// prepare finds or makes maps and puts the program on them.
func (s *Store) prepare() error {
	s.Adopted, s.Fresh = false, false
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
	if s.Memory.Tables.Control.Program == tables.ProgramHash() {
		if maps.Program, err = loadProgram(s.tree()); err == nil {
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
	return nil
}

// current says whether what was prepared still fits what is pinned.
func (s *Store) current() (bool, error) {
	pinned, err := loadMaps(s.tree())
	if errors.Is(err, fs.ErrNotExist) {
		return s.Fresh, nil
	}
	if err != nil {
		return false, err
	}
	defer pinned.Close()
	if s.Fresh || !same(pinned.Forwarding, s.Objects.Forwarding) {
		return false, nil
	}
	if !s.Adopted {
		return s.Memory.Tables.Control.Program != tables.ProgramHash(), nil
	}
	if pinned.Program, err = loadProgram(s.tree()); err != nil {
		return false, nil // prepare says what is wrong with it, and loads another
	}
	have, err := identity(s.Objects.Program)
	if err != nil {
		return false, err
	}
	there, err := identity(pinned.Program)
	return have == there, err
}

// same reports whether two descriptors are of one map. Maps are pinned together: one stands for all.
func same(a, b *ebpf.Map) bool {
	x, errX := a.Info()
	y, errY := b.Info()
	if errX != nil || errY != nil {
		return false
	}
	i, _ := x.ID()
	j, ok := y.ID()
	return ok && i == j
}

func loadProgram(tree string) (*ebpf.Program, error) {
	return ebpf.LoadPinnedProgram(filepath.Join(tree, programPin), nil)
}

// replaceProgram pins the program in place of another one. In between the maps say that no program is known, so
// that a process that dies here leaves nothing that the next one would take for its own.
func (s *Store) replaceProgram() error {
	s.Memory.Tables.Control.Program = [32]byte{}
	if err := pinProgram(s.Objects.Program, s.tree()); err != nil {
		return err
	}
	s.Memory.Tables.Control.Program = tables.ProgramHash()
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

// create makes program and maps.
func (s *Store) create() error {
	o, err := tables.Load(&tables.Objects{})
	if err != nil {
		return err
	}
	s.Objects, s.Fresh = o, true
	if s.Memory, err = o.Map(); err != nil {
		return err
	}
	s.Memory.Tables.Control.Program = tables.ProgramHash()
	return nil
}

// publish pins new maps and their program together: the tree appears complete or not at all.
func (s *Store) publish() error {
	next := s.tree() + nextSuffix
	if err := remove(next); err != nil {
		return err
	}
	if err := os.Mkdir(next, 0o700); err != nil {
		return fmt.Errorf("make a directory for pins: %w", err)
	}
	for name, m := range s.Objects.Maps() {
		if err := m.Pin(filepath.Join(next, name)); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	if err := pinProgram(s.Objects.Program, next); err != nil {
		return err
	}
	if err := os.Rename(next, s.tree()); err != nil {
		return fmt.Errorf("publish the pins: %w", err)
	}
	s.Fresh = false
	return nil
}

// Renew gives up maps whose contents cannot be trusted and makes fresh ones. Links go on with the old
// program until Swap.
func (s *Store) Renew() error {
	s.remember()
	s.release()
	if err := remove(s.tree()); err != nil {
		return err
	}
	s.Adopted = false
	for _, a := range s.links {
		a.foreign = true
	}
	if err := s.create(); err != nil {
		return err
	}
	return s.publish()
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
	s.forget()
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
