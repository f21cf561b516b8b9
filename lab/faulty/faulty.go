// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package faulty makes packages that a device must not end up running: versions that crash, hang, leak or only pretend, and
// files that must not even be admitted. The demo, tests and proofs hand them to a device and watch it defend itself.
//
// Each is a component of this tree in another version, signed by the lab's key, with contract-test results that say
// "passed", so that nothing but its own fault stands in its way; but for the kinds whose fault is one of those.
// A real program is compiled with the rewritten manifest inside, so that it says of itself what its package says.
//
// A Maker is not changed by its methods. A lock on its directory lets one package be made at a time, so that it may be used
// from anywhere.
package faulty

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/rpm"
)

// Kind is what is wrong with a package.
type Kind string

// Packages that install and then misbehave.
const (
	// Crash is the real program, killed a while after it was activated: in the soak, or after the commit.
	Crash Kind = "crash"
	// CrashAtStart ends at once with status 1.
	CrashAtStart Kind = "crash-at-start"
	// Hang never answers, and does not end when asked to.
	Hang Kind = "hang"
	// Stall is the real program, stopped (SIGSTOP) a while after it was activated.
	Stall Kind = "stall"
	// Leak is the real program with a companion in its control group that takes ever more memory once it is active, until the
	// limit of the group ends it.
	Leak Kind = "leak"
	// Idle says SERVING, serves what its manifest lists with handlers that do nothing, and writes nothing.
	Idle Kind = "idle"
	// Drift is the real program in a package whose manifest promises a higher level of a contract than it serves.
	Drift Kind = "drift"
)

// Packages that a device must refuse before anything of them runs.
const (
	// UnmetContract requires a level of a contract that nobody provides.
	UnmetContract Kind = "unmet-contract"
	// NoEvidence has no contract-test results; FailedEvidence has some that say "failed".
	NoEvidence     Kind = "no-evidence"
	FailedEvidence Kind = "failed-evidence"
	// Tampered has one byte of its payload flipped; TamperedHeader one of its header. Truncated lacks its second half.
	Tampered       Kind = "tampered"
	TamperedHeader Kind = "tampered-header"
	Truncated      Kind = "truncated"
	// Unsigned has had its signatures removed; WrongKey is signed by a key that no device trusts.
	Unsigned Kind = "unsigned"
	WrongKey Kind = "wrong-key"
)

// Kinds returns all of them: those that misbehave, then those that are refused.
func Kinds() (misbehaving, refused []Kind) {
	return []Kind{Crash, CrashAtStart, Hang, Stall, Leak, Idle, Drift},
		[]Kind{UnmetContract, NoEvidence, FailedEvidence, Tampered, TamperedHeader, Truncated, Unsigned, WrongKey}
}

// Spec says what to make.
type Spec struct {
	Kind Kind
	// Component is the one to make a version of, for example "rib"; Version its version, for example "1.9.1".
	Component, Version string
	// After is how long after its activation the program crashes, stalls or begins to leak; 2 s when zero.
	After time.Duration
}

// DefaultAfter is Spec.After when that is zero.
const DefaultAfter = 2 * time.Second

// Maker makes faulty packages.
type Maker struct {
	// Root is the top of the source tree.
	Root string
	// Work keeps what was made, so that it is not made again; build/faulty by custom.
	Work string
	// Repository is where the contract-test results of the real packages lie, in evidence/; there may be none.
	Repository string
	// Keys is the directory with the lab's secret key.
	Keys string
}

// InBuild returns a maker that works below a tree's build directory, as make does.
func InBuild(root string) Maker {
	build := filepath.Join(root, "build")
	return Maker{Root: root, Work: filepath.Join(build, "faulty"), Repository: filepath.Join(build, "repo"), Keys: filepath.Join(build, "keys")}
}

// Package is a faulty package as files.
type Package struct {
	Spec
	// RPM is the package's file.
	RPM string
	// Evidence are the results and their signatures, *.json and *.json.asc.
	Evidence []string
	// Digest is that of the package as it was before it was spoilt.
	Digest string
}

// Files returns all that is to be handed to a device, the package first.
func (p *Package) Files() []string { return append([]string{p.RPM}, p.Evidence...) }

// Make makes a package, or returns the one that was made of the same before.
func (m Maker) Make(ctx context.Context, spec Spec) (*Package, error) {
	release, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	p, err := m.make(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("faulty %s %s (%s): %w", spec.Component, spec.Version, spec.Kind, err)
	}
	return p, nil
}

func (m Maker) make(ctx context.Context, spec Spec) (*Package, error) {
	if spec.After == 0 {
		spec.After = DefaultAfter
	}
	key, err := m.key(spec.Kind)
	if err != nil {
		return nil, err
	}
	tree, err := m.tree(ctx, spec)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(m.Work, fmt.Sprintf("%s-%s-%s", spec.Component, spec.Version, spec.Kind))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p, err := pack(tree, dir, key)
	if err != nil {
		return nil, err
	}
	made := &Package{Spec: spec, Digest: p.Digest, RPM: filepath.Join(dir, rpm.FileName(spec.Component, spec.Version, rpm.HostArch()))}
	if made.Evidence, err = m.evidence(made, p, dir); err != nil {
		return nil, err
	}
	return made, spoil(spec.Kind, filepath.Join(dir, good, filepath.Base(made.RPM)), made.RPM)
}

// lock waits until nobody else makes a package here.
func (m Maker) lock() (release func(), err error) {
	if err := os.MkdirAll(m.Work, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(m.Work, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// key is the lab's own, or a stranger's for a package that must not be trusted.
func (m Maker) key(kind Kind) (*rpm.Key, error) {
	if kind != WrongKey {
		return loadOrMakeKey(m.Keys, "ashlar")
	}
	return loadOrMakeKey(filepath.Join(m.Work, "stranger"), "stranger")
}
