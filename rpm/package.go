// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package rpm turns a component's directory into a signed RPM, and an RPM that somebody hands over back into
// a directory, believing nothing that a key of the keyring has not signed.
//
// What it promises:
//   - Build of the same tree with the same time gives the same digest on every machine. The digest is the SHA-256
//     of the RPM's main header, in hex: it covers the payload (the header holds the payload's SHA-256) but not the
//     signature, so that signing again changes nothing.
//   - Open has read and checked everything: signature, header, payload, each file, and that the manifest inside
//     agrees with the header outside. What it does not know it refuses.
//   - Unpack checks all of it again while it writes, so that a file changed after Open is caught, and leaves
//     either the whole directory, synced to the disk, or none.
//   - Memory and disk are bounded by the limits below whatever the file says of itself. Bytes that no trusted
//     key has signed reach only the parsers of the container and of the signature.
//
// Values are not changed after they were made: every function may be called concurrently. Nothing here runs
// as root of necessity, and nothing in a package is ever executed.
package rpm

import (
	"errors"
	"runtime"
	"strings"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Root is where packages keep their components when the rpm command installs them: Root/<component>/<version>.
const Root = "/usr/lib/ashlar"

// Limits of a package. A component of today has about 25 MB in three files.
const (
	maxPackageSize  = 256 << 20 // bytes of the RPM file
	maxUnpackedSize = 1 << 30   // bytes of all its files
	maxFiles        = 4096
	maxPathLength   = 512
	maxManifestSize = 1 << 20
)

// What can be wrong with a package; errors of this package wrap one of them, or are of the operating system.
var (
	// ErrUnsigned: there is no signature over the header.
	ErrUnsigned = errors.New("not signed")
	// ErrUntrusted: a signature that the keyring does not accept: unknown, expired or revoked key, or one that
	// may not sign this component.
	ErrUntrusted = errors.New("not trusted")
	// ErrDamaged: truncated, or changed since it was signed.
	ErrDamaged = errors.New("damaged")
	// ErrForbidden: intact, but not what a component may be.
	ErrForbidden = errors.New("not allowed")
)

// Package is an RPM that Open has accepted.
type Package struct {
	Component string
	Version   string
	// Digest is the SHA-256 of the main header in lower-case hex.
	Digest  string
	Summary string
	// Signer is the id of the key that signed it, 16 lower-case hex digits.
	Signer   string
	Manifest *manifest.Manifest
	// Size is the sum of its files' sizes in bytes.
	Size int64

	file       string
	tree       string   // its directory, as the rpm command installs it
	head       [32]byte // SHA-256 of everything before the payload
	headSize   int64
	compressor string
	payload    string // SHA-256 of the compressed payload, hex
	files      []entry
}

// Files returns the paths of the package's files, relative to its directory, in order; directories are left out.
func (p *Package) Files() []string {
	var out []string
	for _, f := range p.files {
		if !f.dir() {
			out = append(out, strings.TrimPrefix(f.path, p.tree+"/"))
		}
	}
	return out
}

// treePath is the directory that holds the component's files.
func treePath(m *manifest.Manifest) string { return Root + "/" + m.Name + "/" + m.Version }

// rpmVersion writes a semantic version as RPM can order it: a pre-release sorts before its release.
func rpmVersion(v string) string {
	core, build, _ := strings.Cut(v, "+")
	core = strings.Replace(core, "-", "~", 1)
	if build != "" {
		core += "+" + build
	}
	return strings.ReplaceAll(core, "-", "_")
}

// rpmArch is RPM's name of a GOARCH.
func rpmArch(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return goarch
}

// HostArch is RPM's name of the machine that this runs on.
func HostArch() string { return rpmArch(runtime.GOARCH) }
