// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package generations keeps the lists of packages that the device has booted or may boot. A generation is a
// directory with one link for each component, which is what the supervisor reads, and is never changed once it
// is there. One link, `committed`, names the one that boots; it moves in one step.
//
// Open only reads. A Generations is safe for concurrent use.
package generations

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/durable"
)

const (
	dirName    = "generations"
	recordName = "generation.json"
	// Committed is the link to the generation that boots.
	Committed = "committed"
	// Keep is how many generations stay, besides those that are needed.
	Keep = 10
)

// ErrUnknown: there is no such generation.
var ErrUnknown = errors.New("no such generation")

// Generation is an immutable list of packages.
type Generation struct {
	ID uint64 `json:"id"`
	// Made is when, Operation the one that made it; 0 for the first.
	Made      time.Time `json:"made"`
	Operation uint64    `json:"operation,omitempty"`
	// Members is each component's package digest.
	Members map[string]string `json:"members"`
}

// Generations is those of a device.
type Generations struct {
	dir string

	mu        sync.Mutex
	known     map[uint64]Generation
	committed uint64
}

// Open reads them; none is no error.
func Open(dir string) (*Generations, error) {
	g := &Generations{dir: dir, known: map[uint64]Generation{}}
	files, err := filepath.Glob(filepath.Join(dir, dirName, "*", recordName))
	if err != nil {
		return nil, fmt.Errorf("generations: %w", err)
	}
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(filepath.Dir(file)), unfinished) {
			continue
		}
		one, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("generations: %w", err)
		}
		g.known[one.ID] = one
	}
	if err := g.readCommitted(); err != nil {
		return nil, fmt.Errorf("generations: %w", err)
	}
	return g, g.sweep()
}

// unfinished begins the name of a generation that is being made. Whoever made it may have ended meanwhile.
const unfinished = ".new-"

// sweep removes what was not finished.
func (g *Generations) sweep() error {
	left, err := filepath.Glob(filepath.Join(g.dir, dirName, unfinished+"*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return fmt.Errorf("generations: what was not finished stays: %w", err)
	}
	return nil
}

func read(file string) (Generation, error) {
	var one Generation
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &one)
	}
	if err == nil && strconv.FormatUint(one.ID, 10) != filepath.Base(filepath.Dir(file)) {
		err = fmt.Errorf("says that it is generation %d", one.ID)
	}
	if err != nil {
		return one, fmt.Errorf("%s: %w", file, err)
	}
	return one, nil
}

func (g *Generations) readCommitted() error {
	target, err := os.Readlink(filepath.Join(g.dir, Committed))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(filepath.Base(target), 10, 64)
	if err != nil {
		return fmt.Errorf("%s leads to %s, which is no generation", Committed, target)
	}
	if _, ok := g.known[id]; !ok {
		return fmt.Errorf("%s leads to %s: %w", Committed, target, ErrUnknown)
	}
	g.committed = id
	return nil
}

// Committed returns the one that boots, and whether there is one.
func (g *Generations) Committed() (Generation, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one, ok := g.known[g.committed]
	return one, ok
}

// Get returns one by its id.
func (g *Generations) Get(id uint64) (Generation, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one, ok := g.known[id]
	if !ok {
		return one, fmt.Errorf("generation %d: %w", id, ErrUnknown)
	}
	return one, nil
}

// List returns all, oldest first.
func (g *Generations) List() []Generation {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.list()
}

func (g *Generations) list() []Generation {
	out := make([]Generation, 0, len(g.known))
	for _, one := range g.known {
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Generation) int { return int(int64(a.ID - b.ID)) })
	return out
}

// Next is the id that the next generation gets.
func (g *Generations) Next() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := uint64(1)
	for id := range g.known {
		next = max(next, id+1)
	}
	return next
}

// Make writes a generation, with a link for each member to the tree that tree gives. Making one again that is
// there with the same members changes nothing.
func (g *Generations) Make(one Generation, tree func(digest string) string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old, ok := g.known[one.ID]; ok {
		if !sameMembers(old.Members, one.Members) {
			return fmt.Errorf("generations: %d exists with other members", one.ID)
		}
		return nil
	}
	if err := g.write(one, tree); err != nil {
		return fmt.Errorf("generations: %w", err)
	}
	g.known[one.ID] = one
	return nil
}

func sameMembers(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for c, d := range a {
		if b[c] != d {
			return false
		}
	}
	return true
}

// write makes the directory under another name, so that what has a generation's name is whole.
func (g *Generations) write(one Generation, tree func(digest string) string) error {
	parent := filepath.Join(g.dir, dirName)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, unfinished+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	final := filepath.Join(parent, strconv.FormatUint(one.ID, 10))
	for component, digest := range one.Members {
		to, err := filepath.Rel(final, tree(digest))
		if err == nil {
			err = os.Symlink(to, filepath.Join(tmp, component))
		}
		if err != nil {
			return err
		}
	}
	if err := durable.WriteJSON(filepath.Join(tmp, recordName), one, 0o644); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	os.RemoveAll(final) // without a record it is none
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	return syncDir(parent)
}

// Commit makes a generation the one that boots. When it returns nil, that outlives a power cut.
func (g *Generations) Commit(id uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.known[id]; !ok {
		return fmt.Errorf("generation %d: %w", id, ErrUnknown)
	}
	link := filepath.Join(g.dir, Committed)
	tmp := link + ".new"
	os.Remove(tmp)
	err := os.Symlink(filepath.Join(dirName, strconv.FormatUint(id, 10)), tmp)
	if err == nil {
		err = os.Rename(tmp, link)
	}
	if err == nil {
		err = syncDir(g.dir)
	}
	if err != nil {
		return fmt.Errorf("generations: commit %d: %w", id, err)
	}
	g.committed = id
	return nil
}

// Prune removes all but the newest ones, the committed one, those that needed names, and the first, with which the device
// was installed.
func (g *Generations) Prune(needed ...uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.list()
	for i, one := range all {
		if i >= len(all)-Keep || one.ID == g.committed || one.ID == 1 || slices.Contains(needed, one.ID) {
			continue
		}
		dir := filepath.Join(g.dir, dirName, strconv.FormatUint(one.ID, 10))
		// Without its record it is no generation any more, whatever happens next.
		if err := os.Remove(filepath.Join(dir, recordName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("generations: %w", err)
		}
		delete(g.known, one.ID)
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("generations: %w", err)
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
