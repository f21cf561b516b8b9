// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/google/rpmpack"
)

const (
	release    = "1"
	namePrefix = "ashlar-"
	vendor     = "Ashlar"
)

func packageName(m *manifest.Manifest) string { return namePrefix + m.Name }

// Build packs a component's directory (component.yaml, bin/… and whatever else lies in it) into
// out/ashlar-<component>-<version>-1.<arch>.rpm, signed by key, and returns the path. when becomes the build time
// and every file's; take the time of the commit, so that the same source gives the same digest. Only
// regular files and directories may be in the tree; modes become 0755 and 0644, the owner root. The architecture
// is that of the program. Build has opened what it made as a device would: it makes nothing that Open refuses.
func Build(tree, out string, key *Key, when time.Time) (string, error) {
	m, err := manifest.Load(filepath.Join(tree, "component.yaml"))
	if err != nil {
		return "", fmt.Errorf("rpm: %w", err)
	}
	arch, err := programArch(filepath.Join(tree, m.Run.Command[0]))
	if err != nil {
		return "", fmt.Errorf("rpm: %s: %w", tree, err)
	}
	r, err := compose(tree, m, arch, when)
	if err != nil {
		return "", fmt.Errorf("rpm: %s: %w", tree, err)
	}
	return write(r, filepath.Join(out, FileName(m.Name, m.Version, arch)), key, arch)
}

// FileName is how the package of a component's version is called; arch is RPM's name of the machine.
func FileName(component, version, arch string) string {
	return fmt.Sprintf("%s%s-%s-%s.%s.rpm", namePrefix, component, rpmVersion(version), release, arch)
}

// compose makes the unsigned package in memory.
func compose(tree string, m *manifest.Manifest, arch string, when time.Time) (*rpmpack.RPM, error) {
	licence, err := licenceOf(tree)
	if err != nil {
		return nil, err
	}
	r, err := rpmpack.NewRPM(rpmpack.RPMMetaData{
		Name:        packageName(m),
		Version:     rpmVersion(m.Version),
		Release:     release,
		Epoch:       rpmpack.NoEpoch,
		Summary:     m.Summary,
		Description: m.Summary,
		Arch:        arch,
		OS:          "linux",
		Vendor:      vendor,
		Licence:     licence,
		Compressor:  "zstd",
		BuildTime:   when,
		Provides:    pack(provides(m)),
		Requires:    pack(append(requires(m, false), features()...)),
		Recommends:  pack(requires(m, true)),
	})
	if err != nil {
		return nil, err
	}
	// The library writes one value for each file where the format has one for all.
	r.AddCustomTag(tagFileDigestAlgo, rpmpack.EntryUint32([]uint32{hashSHA256}))
	for _, dir := range []string{Root, Root + "/" + m.Name} {
		r.AddFile(directory(dir, when))
	}
	return r, addTree(r, tree, treePath(m), when)
}

func directory(path string, when time.Time) rpmpack.RPMFile {
	return rpmpack.RPMFile{Name: path, Mode: modeDir | 0o755, Owner: owner, Group: owner, MTime: uint32(when.Unix())}
}

// addTree adds what lies in a directory.
func addTree(r *rpmpack.RPM, tree, prefix string, when time.Time) error {
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		target := filepath.Join(prefix, filepath.ToSlash(rel))
		if d.IsDir() {
			r.AddFile(directory(target, when))
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %s is no regular file (%s)", ErrForbidden, rel, info.Mode().Type())
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		mode := uint(modeRegular | 0o644)
		if info.Mode()&0o111 != 0 {
			mode = modeRegular | 0o755
		}
		r.AddFile(rpmpack.RPMFile{Name: target, Body: body, Mode: mode, Owner: owner, Group: owner, MTime: uint32(when.Unix())})
		return nil
	})
}

// write signs the package, checks it and puts it in its place in one step.
func write(r *rpmpack.RPM, file string, key *Key, arch string) (string, error) {
	r.SetPGPSigner(key.sign)
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		return "", fmt.Errorf("rpm: %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".package-*")
	if err != nil {
		return "", fmt.Errorf("rpm: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b.Bytes())
	if e := tmp.Chmod(0o644); err == nil {
		err = e
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		_, err = open(tmp.Name(), key.Keyring(), arch)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return "", fmt.Errorf("rpm: %s: %w", file, err)
	}
	return file, nil
}

var spdx = regexp.MustCompile(`SPDX-License-Identifier: *([A-Za-z0-9.+ ()-]{1,100})`)

// licenceOf returns what the manifest's comment says; a header without the field is no RPM.
func licenceOf(tree string) (string, error) {
	text, err := os.ReadFile(filepath.Join(tree, "component.yaml"))
	if err != nil {
		return "", err
	}
	if found := spdx.FindSubmatch(text); found != nil {
		return strings.TrimSpace(string(found[1])), nil
	}
	return "unspecified", nil
}

// programArch returns RPM's name of the machine that a program is for; this one's when it is no ELF file.
func programArch(program string) (string, error) {
	f, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, elfHeadSize)
	n, _ := f.ReadAt(head, 0)
	arch, isELF := elfArch(head[:n])
	if !isELF {
		return HostArch(), nil
	}
	return arch, nil
}

const elfHeadSize = 20 // up to and with e_machine

// elfArch returns RPM's name of the machine in an ELF header, and whether it is one.
func elfArch(head []byte) (string, bool) {
	if len(head) < elfHeadSize || string(head[:4]) != elf.ELFMAG {
		return "", false
	}
	machine := elf.Machine(uint16(head[18]) | uint16(head[19])<<8)
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		machine = elf.Machine(uint16(head[19]) | uint16(head[18])<<8)
	}
	switch machine {
	case elf.EM_X86_64:
		return "x86_64", true
	case elf.EM_AARCH64:
		return "aarch64", true
	}
	return strings.ToLower(strings.TrimPrefix(machine.String(), "EM_")), true
}
