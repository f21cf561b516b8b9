// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/durable"
	"github.com/ashlar-nos/ashlar/rpm"
)

// Limits of one batch. Of a package, rpm has its own.
const (
	maxFile     = 256 << 20 // bytes of one file
	maxDocument = 1 << 20   // bytes of evidence or a signature
	maxBatch    = 1024      // files
)

// Reserve is how many bytes stay free for the journal and for what components write.
const Reserve = 64 << 20

// ErrFull: the disk has no room.
var ErrFull = errors.New("no space")

// Added is what became of one file.
type Added struct {
	Name    string
	Package *Package
	// Refusal says why the file was not taken.
	Refusal error
	// Known: it was there already.
	Known bool
}

// Batch takes files together, so that evidence finds its signature. It is used by one goroutine.
type Batch struct {
	store *Store
	dir   string
	order []string
	seen  map[string]error // refusals at the door
	file  *os.File
	size  int64
}

// Begin opens a batch. Close it.
func (s *Store) Begin() (*Batch, error) {
	parent := filepath.Join(s.dir, dirIncoming)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, explain(err)
	}
	dir, err := os.MkdirTemp(parent, "add-*")
	if err != nil {
		return nil, explain(err)
	}
	return &Batch{store: s, dir: dir, seen: map[string]error{}}, nil
}

// Next begins a file of the batch, by its base name.
func (b *Batch) Next(name string) error {
	if err := b.finish(); err != nil {
		return err
	}
	if len(b.order) == maxBatch {
		return fmt.Errorf("more than %d files in one batch: send the rest in another", maxBatch)
	}
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") || len(name) > 255 {
		return fmt.Errorf("%q: want a plain file name", name)
	}
	if _, twice := b.seen[name]; twice {
		return fmt.Errorf("%s: comes twice", name)
	}
	b.order = append(b.order, name)
	b.seen[name] = nil
	if kindOf(name) == kindOther {
		b.seen[name] = fmt.Errorf("%s: want *.rpm, or *.json with its *.json.asc", name)
		return nil
	}
	f, err := os.OpenFile(filepath.Join(b.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return explain(err)
	}
	b.file, b.size = f, 0
	return nil
}

// Write adds to the current file. What is refused already is swallowed, so that the other files come in.
func (b *Batch) Write(data []byte) (int, error) {
	if len(b.order) == 0 {
		return 0, errors.New("data before a file's name")
	}
	name := b.order[len(b.order)-1]
	if b.seen[name] != nil {
		return len(data), nil
	}
	limit := int64(maxFile)
	if kindOf(name) != kindPackage {
		limit = maxDocument
	}
	if b.size += int64(len(data)); b.size > limit {
		b.seen[name] = fmt.Errorf("%s: longer than %d bytes", name, limit)
	} else if _, err := b.file.Write(data); err != nil {
		b.seen[name] = fmt.Errorf("%s: %w", name, explain(err))
	}
	return len(data), nil
}

func (b *Batch) finish() error {
	if b.file == nil {
		return nil
	}
	f, name := b.file, b.order[len(b.order)-1]
	b.file = nil
	err := f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil && b.seen[name] == nil {
		b.seen[name] = fmt.Errorf("%s: %w", name, explain(err))
	}
	return nil
}

// Close removes what the batch received.
func (b *Batch) Close() error {
	if b.file != nil {
		b.file.Close()
	}
	return os.RemoveAll(b.dir)
}

type kind int

const (
	kindOther kind = iota
	kindPackage
	kindEvidence
	kindSignature
)

func kindOf(name string) kind {
	switch {
	case strings.HasSuffix(name, ".rpm"):
		return kindPackage
	case strings.HasSuffix(name, ".json"):
		return kindEvidence
	case strings.HasSuffix(name, ".json.asc"):
		return kindSignature
	}
	return kindOther
}

// Admit verifies every file of the batch and takes what is trusted. The error is of the batch as a whole.
func (b *Batch) Admit(now time.Time) ([]Added, error) {
	if err := b.finish(); err != nil {
		return nil, err
	}
	// One at a time: two batches with the same package would unpack to the same directory.
	b.store.adding.Lock()
	defer b.store.adding.Unlock()
	keyring, err := b.store.Keyring()
	if err != nil {
		return nil, err
	}
	var out []Added
	for _, name := range b.order {
		a := Added{Name: name, Refusal: b.seen[name]}
		if a.Refusal == nil {
			b.admit(&a, keyring, now)
		}
		if a.Refusal != nil {
			a.Package = nil
		}
		out = append(out, a)
	}
	return out, nil
}

func (b *Batch) admit(a *Added, keyring rpm.Keyring, now time.Time) {
	path := filepath.Join(b.dir, a.Name)
	var err error
	switch kindOf(a.Name) {
	case kindPackage:
		a.Package, a.Known, err = b.store.admitPackage(path, keyring, now)
	case kindEvidence:
		a.Known, err = b.store.admitEvidence(path, keyring)
	case kindSignature:
		if document := strings.TrimSuffix(a.Name, ".asc"); !b.has(document) {
			err = fmt.Errorf("%s: the signed document %s did not come with it", a.Name, document)
		}
	}
	if err != nil {
		// The operator knows the file's name, not where it lay meanwhile.
		a.Refusal = named{strings.ReplaceAll(err.Error(), b.dir+"/", ""), err}
	}
}

func (b *Batch) has(name string) bool {
	_, ok := b.seen[name]
	return ok
}

// named is an error in other words.
type named struct {
	text string
	err  error
}

func (n named) Error() string { return n.text }
func (n named) Unwrap() error { return n.err }

func (s *Store) admitPackage(file string, keyring rpm.Keyring, now time.Time) (p *Package, known bool, err error) {
	opened, err := rpm.Open(file, keyring)
	if err != nil {
		return nil, false, explain(err)
	}
	if p, ok := s.Package(opened.Digest); ok {
		return p, true, nil
	}
	base := filepath.Base(file)
	if err := Room(s.dir, uint64(opened.Size)); err != nil {
		return nil, false, fmt.Errorf("%s: %w", base, err)
	}
	os.RemoveAll(s.Tree(opened.Digest)) // of an attempt that was interrupted
	if err := opened.Unpack(s.Tree(opened.Digest)); err != nil {
		return nil, false, explain(err)
	}
	p, err = s.enlist(opened, file, now)
	if err != nil {
		os.Remove(s.record(opened.Digest))
		os.Remove(s.File(opened.Digest))
		os.RemoveAll(s.Tree(opened.Digest))
		return nil, false, fmt.Errorf("%s: %w", base, explain(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packages[p.Digest] = p
	return p, false, nil
}

// enlist keeps the file and, last, the record that makes the package one of the store.
func (s *Store) enlist(opened *rpm.Package, file string, now time.Time) (*Package, error) {
	if err := os.Rename(file, s.File(opened.Digest)); err != nil {
		return nil, err
	}
	if err := os.Chmod(s.File(opened.Digest), 0o644); err != nil {
		return nil, err
	}
	e := entry{Signer: opened.Signer, Size: uint64(opened.Size), Added: now}
	// It syncs the directory too, and with it the renamed file.
	if err := durable.WriteJSON(s.record(opened.Digest), e, 0o644); err != nil {
		return nil, err
	}
	return s.readPackage(opened.Digest)
}

// Room returns an error with figures when the disk of a directory has not this many bytes and the reserve.
func Room(dir string, need uint64) error {
	free, err := Free(dir)
	if err != nil {
		return err
	}
	if free < need+Reserve {
		return fmt.Errorf("%w: %d MiB are free below %s, %d MiB are needed and %d MiB stay in reserve; discard packages that are not in use", ErrFull, free>>20, dir, (need+1<<20-1)>>20, Reserve>>20)
	}
	return nil
}

// Free is how many bytes can still be written where a directory is.
func Free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Free is how many bytes can still be written to the store.
func (s *Store) Free() (uint64, error) { return Free(s.dir) }

// explain puts the errors of a failing disk in words.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w on the disk of the package store; discard packages that are not in use: %w", ErrFull, err)
	case errors.Is(err, unix.EIO):
		return fmt.Errorf("the disk of the package store fails, nothing was kept: %w", err)
	}
	return err
}

func (s *Store) admitEvidence(file string, keyring rpm.Keyring) (known bool, err error) {
	content, signer, err := rpm.VerifyFile(file, keyring)
	if err != nil {
		return false, explain(err)
	}
	e, err := parseEvidence(content, signer, keyring)
	if err != nil {
		return false, fmt.Errorf("%s: %w", file, err)
	}
	s.mu.RLock()
	_, known = s.evidence[e.Digest]
	s.mu.RUnlock()
	if known {
		return true, nil
	}
	signature, err := os.ReadFile(file + ".asc")
	if err != nil {
		return false, explain(err)
	}
	if err := s.keep(e, content, signature); err != nil {
		return false, fmt.Errorf("%s: %w", file, explain(err))
	}
	return false, nil
}

// keep writes the signature first: a document without one would be a fault.
func (s *Store) keep(e *Evidence, content, signature []byte) error {
	path := s.document(e.Digest)
	if err := durable.WriteFile(path+".asc", signature, 0o644); err != nil {
		return err
	}
	if err := durable.WriteFile(path, content, 0o644); err != nil {
		os.Remove(path + ".asc")
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evidence[e.Digest] = e
	return nil
}

func parseEvidence(content []byte, signer string, keyring rpm.Keyring) (*Evidence, error) {
	e := &Evidence{}
	d := json.NewDecoder(bytes.NewReader(content))
	if err := d.Decode(e); err != nil {
		return nil, fmt.Errorf("no evidence: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("no evidence: there is more after the document")
	}
	e.Signer, e.Digest = signer, digestOf(content)
	switch {
	case e.Type != EvidenceType:
		return nil, fmt.Errorf("type %q: want %q", e.Type, EvidenceType)
	case e.Result != Passed && e.Result != Failed:
		return nil, fmt.Errorf("result %q: want %q or %q", e.Result, Passed, Failed)
	case !IsDigest(e.ContractHash), !IsDigest(e.ProviderDigest):
		return nil, errors.New("contract_hash and provider_digest: want 64 hex digits each")
	}
	// Who may sign either of the two may say how they get on.
	if err := keyring.Allows(signer, e.Provider); err != nil && keyring.Allows(signer, e.Consumer) != nil {
		return nil, err
	}
	return e, nil
}
