// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Open reads a package and checks all of it: signed by a key of the keyring that may sign this component; nothing
// truncated, changed or added; for this machine; only plain files below its own directory; a manifest that
// says what the header says. Errors begin with the file's name and say what is wrong; they wrap ErrUnsigned,
// ErrUntrusted, ErrDamaged or ErrForbidden, or are of the operating system. It reads the file twice and holds none
// of it open.
func Open(file string, keyring Keyring) (*Package, error) { return open(file, keyring, HostArch()) }

func open(file string, keyring Keyring, arch string) (*Package, error) {
	f, size, err := openRegular(file)
	if err != nil {
		return nil, fmt.Errorf("rpm: %w", err)
	}
	defer f.Close()
	p, err := examine(f, size, keyring, arch)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p.file = file
	return p, nil
}

func openRegular(file string) (*os.File, int64, error) {
	// A pipe would block before it is found to be one.
	info, err := os.Stat(file)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPackageSize {
		return nil, 0, fmt.Errorf("%s: %w: want a regular file of at most %d bytes", file, ErrForbidden, maxPackageSize)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// examine checks a file of a size.
func examine(f io.ReaderAt, size int64, keyring Keyring, arch string) (*Package, error) {
	c, err := readContainer(io.NewSectionReader(f, 0, size), size)
	if err != nil {
		return nil, err
	}
	start := int64(len(c.head))
	signer, err := keyring.verify(c, io.NewSectionReader(f, start, size-start))
	if err != nil {
		return nil, err
	}
	// From here on the bytes are those of a trusted key, unless the file changes: walk checks it again.
	p := &Package{Digest: c.digest, Signer: signer, Summary: c.main.text(tagSummary), head: sha256.Sum256(c.head), headSize: start}
	if err := p.describe(c.main, arch); err != nil {
		return nil, err
	}
	text, err := p.inspect(io.NewSectionReader(f, start, size-start), arch)
	if err != nil {
		return nil, err
	}
	m, err := manifest.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: component.yaml: %w", ErrForbidden, err)
	}
	p.Manifest, p.Component, p.Version = m, m.Name, m.Version
	if err := p.agree(c.main); err != nil {
		return nil, err
	}
	return p, keyring.allowsManifest(signer, m)
}

// describe reads what the header says of the package and its files.
func (p *Package) describe(h *header, arch string) error {
	if err := h.checkTags(); err != nil {
		return err
	}
	for tag, want := range map[uint32]string{tagRelease: release, tagOS: "linux", tagPayloadFormat: "cpio"} {
		if got := h.text(tag); got != want {
			return fmt.Errorf("%w: tag %d of the header is %q, want %q", ErrForbidden, tag, got, want)
		}
	}
	if got := h.text(tagArch); got != arch {
		return fmt.Errorf("%w: the package is for %s, this machine is %s", ErrForbidden, got, arch)
	}
	if !slices.Equal(h.numbers(tagPayloadDigestAlgo), []uint32{hashSHA256}) || !slices.Equal(h.numbers(tagFileDigestAlgo), []uint32{hashSHA256}) {
		return fmt.Errorf("%w: digests by algorithm %v and %v, want SHA-256 (%d)", ErrForbidden, h.numbers(tagPayloadDigestAlgo), h.numbers(tagFileDigestAlgo), hashSHA256)
	}
	p.payload, p.compressor = h.text(tagPayloadDigest), h.text(tagPayloadCompressor)
	var err error
	if p.tree, err = treeOf(h); err != nil {
		return err
	}
	if p.files, err = h.entries(p.tree); err != nil {
		return err
	}
	for _, e := range p.files {
		p.Size += e.size
	}
	return nil
}

// treeOf returns the one directory Root/<component>/<version> of the header's files, for the component of its name.
func treeOf(h *header) (string, error) {
	name, ok := strings.CutPrefix(h.text(tagName), namePrefix)
	if !ok || name == "" || path.Base(name) != name {
		return "", fmt.Errorf("%w: the package is called %q, want %s<component>", ErrForbidden, h.text(tagName), namePrefix)
	}
	paths, err := h.paths()
	if err != nil {
		return "", err
	}
	home := Root + "/" + name + "/"
	for _, p := range paths {
		if version, ok := strings.CutPrefix(p, home); ok && path.Base(p) == version && rpmVersion(version) == h.text(tagVersion) {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: there is no directory %s%s", ErrForbidden, home, h.text(tagVersion))
}

// inspect reads the payload, checks programs' architecture and returns the manifest's text.
func (p *Package) inspect(payload io.Reader, arch string) ([]byte, error) {
	var text []byte
	err := p.walk(payload, func(e entry, body io.Reader) error {
		if e.dir() {
			return nil
		}
		if e.path == p.tree+"/component.yaml" {
			var err error
			text, err = io.ReadAll(io.LimitReader(body, maxManifestSize+1))
			if err == nil && len(text) > maxManifestSize {
				err = fmt.Errorf("%w: component.yaml is longer than %d bytes", ErrForbidden, maxManifestSize)
			}
			return payloadError(err)
		}
		head, err := bufio.NewReaderSize(body, elfHeadSize).Peek(elfHeadSize)
		if err != nil && err != io.EOF {
			return payloadError(err)
		}
		if got, isELF := elfArch(head); isELF && got != arch {
			return fmt.Errorf("%w: %s is a program for %s, the package says %s", ErrForbidden, e.path, got, arch)
		}
		return nil
	})
	if err == nil && text == nil {
		err = fmt.Errorf("%w: there is no component.yaml", ErrForbidden)
	}
	return text, err
}

// agree compares the header with the manifest.
func (p *Package) agree(h *header) error {
	m := p.Manifest
	for _, f := range []struct{ what, header, manifest string }{
		{"name", h.text(tagName), packageName(m)},
		{"version", h.text(tagVersion), rpmVersion(m.Version)},
		{"summary", h.text(tagSummary), m.Summary},
		{"directory", p.tree, treePath(m)},
	} {
		if f.header != f.manifest {
			return fmt.Errorf("%w: the header's %s is %q, the manifest's %q", ErrForbidden, f.what, f.header, f.manifest)
		}
	}
	program := path.Join(p.tree, m.Run.Command[0])
	if !slices.ContainsFunc(p.files, func(e entry) bool { return e.path == program && e.mode == modeRegular|0o755 }) {
		return fmt.Errorf("%w: the manifest's program %s is not in the package, or may not be run", ErrForbidden, program)
	}
	return agreeRelations(h, m)
}

func agreeRelations(h *header, m *manifest.Manifest) error {
	for _, list := range []struct {
		kind                   string
		names, versions, flags uint32
		manifest               []relation
	}{
		{"provides", tagProvides, tagProvideVersion, tagProvideFlags, provides(m)},
		{"requires", tagRequires, tagRequireVersion, tagRequireFlags, requires(m, false)},
		{"recommends", tagRecommends, tagRecommendVersion, tagRecommendFlags, requires(m, true)},
	} {
		header, err := h.relations(list.names, list.versions, list.flags)
		if err != nil {
			return err
		}
		if difference := sameRelations(list.kind, withoutFeatures(header), list.manifest); difference != "" {
			return fmt.Errorf("%w: %s", ErrForbidden, difference)
		}
	}
	return nil
}

// unchanged reads the file's head again and compares it with what Open has seen.
func (p *Package) unchanged(f io.ReaderAt) error {
	head, err := io.ReadAll(io.NewSectionReader(f, 0, p.headSize))
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(head); !bytes.Equal(sum[:], p.head[:]) {
		return fmt.Errorf("%w: the file's header was changed after it was verified", ErrDamaged)
	}
	return nil
}
