// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/rpmpack"
	"github.com/klauspost/compress/zstd"
)

func TestOpen(t *testing.T) {
	file := demoPackage(t)
	p, err := Open(file, key(t, "trusted").Keyring())
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(file) != "ashlar-demo-1.0.0-1."+HostArch()+".rpm" {
		t.Errorf("the package is called %s", filepath.Base(file))
	}
	want := []string{"bin/demod", "component.yaml", "contracts/ashlar.config.v1.yaml"}
	if p.Component != "demo" || p.Version != "1.0.0" || p.Signer != key(t, "trusted").ID() || !slices.Equal(p.Files(), want) {
		t.Errorf("got %s %s signed by %s with %v", p.Component, p.Version, p.Signer, p.Files())
	}
	dir := filepath.Join(t.TempDir(), "tree")
	if err := p.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, filepath.Join(dir, "bin/demod")); !bytes.Equal(got, program()) {
		t.Error("the program came out changed")
	}
	if info, err := os.Stat(filepath.Join(dir, "bin/demod")); err != nil || info.Mode() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := p.Unpack(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("unpacking over a directory: %v", err)
	}
}

// bad is a package that must be refused, and what the error must say.
type bad struct {
	spoil func(*recipe)
	is    error
	says  string
}

func badPackages(t *testing.T) map[string]bad {
	stranger := key(t, "stranger")
	replace := func(from, to string) func(*recipe) {
		return func(r *recipe) {
			r.add("component.yaml", modeRegular|0o644, []byte(strings.Replace(demoManifest, from, to, 1)))
		}
	}
	scriptlet := func(add func(*rpmpack.RPM, string)) func(*recipe) {
		return func(r *recipe) { r.spoil = func(p *rpmpack.RPM) { add(p, "touch /owned") } }
	}
	arm := make([]byte, 64)
	copy(arm, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(arm[18:], 183)

	return map[string]bad{
		"unsigned":  {func(r *recipe) { r.signer = nil }, ErrUnsigned, "no signature"},
		"stranger":  {func(r *recipe) { r.signer = stranger }, ErrUntrusted, stranger.ID() + ", which is not in the keyring"},
		"traversal": {func(r *recipe) { r.add("../../../../etc/passwd", modeRegular|0o644, nil) }, ErrForbidden, `without ".."`},
		"outside":   {func(r *recipe) { r.add("/etc/ld.so.preload", modeRegular|0o644, nil) }, ErrForbidden, "/etc/ld.so.preload lies outside of /usr/lib/ashlar/demo/1.0.0"},
		"another component": {func(r *recipe) {
			r.files = append(r.files, directory(Root+"/rib", buildTime()))
		}, ErrForbidden, "/usr/lib/ashlar/rib lies outside"},
		"file beside the versions": {func(r *recipe) { r.add(Root+"/demo/x", modeRegular|0o644, nil) }, ErrForbidden, "lies outside"},
		"control characters":       {func(r *recipe) { r.add("bin/\x1b[2J", modeRegular|0o644, nil) }, ErrForbidden, "control characters"},
		"device node":              {func(r *recipe) { r.mode("demod", 0o020666) }, ErrForbidden, "device node"},
		"block device":             {func(r *recipe) { r.mode("demod", 0o060644) }, ErrForbidden, "device node"},
		"pipe":                     {func(r *recipe) { r.mode("demod", 0o010644) }, ErrForbidden, "pipe"},
		"symbolic link":            {func(r *recipe) { r.add("bin/link", 0o120777, []byte("/etc/shadow")) }, ErrForbidden, "symbolic link"},
		"setuid":                   {func(r *recipe) { r.add("bin/demod", 0o104755, program()) }, ErrForbidden, "setuid"},
		"sticky directory":         {func(r *recipe) { r.mode("bin", 0o041777) }, ErrForbidden, "sticky"},
		"writable by all":          {func(r *recipe) { r.add("bin/demod", modeRegular|0o777, program()) }, ErrForbidden, "mode 0777"},
		"foreign owner": {func(r *recipe) {
			r.files[len(r.files)-1].Owner = "daemon"
		}, ErrForbidden, "not a plain file of root"},
		"configuration file": {func(r *recipe) {
			r.files[len(r.files)-1].Type = rpmpack.ConfigFile
		}, ErrForbidden, "not a plain file"},
		"no directory entry":   {func(r *recipe) { r.drop(Root + "/demo/1.0.0/bin") }, ErrForbidden, "directory of /usr/lib/ashlar/demo/1.0.0/bin/demod is not in the package"},
		"no version directory": {func(r *recipe) { r.drop(Root + "/demo/1.0.0") }, ErrForbidden, "there is no directory /usr/lib/ashlar/demo/1.0.0"},
		"pre-install script":   {scriptlet((*rpmpack.RPM).AddPrein), ErrForbidden, "scriptlet"},
		"post-install script":  {scriptlet((*rpmpack.RPM).AddPostin), ErrForbidden, "scriptlet"},
		"pre-remove script":    {scriptlet((*rpmpack.RPM).AddPreun), ErrForbidden, "scriptlet"},
		"post-remove script":   {scriptlet((*rpmpack.RPM).AddPostun), ErrForbidden, "scriptlet"},
		"transaction script":   {scriptlet((*rpmpack.RPM).AddPretrans), ErrForbidden, "scriptlet"},
		"verify script":        {scriptlet((*rpmpack.RPM).AddVerifyScript), ErrForbidden, "scriptlet"},
		"trigger":              {func(r *recipe) { r.tags[1065] = rpmpack.EntryStringSlice([]string{"reboot"}) }, ErrForbidden, "trigger"},
		"file capabilities":    {func(r *recipe) { r.tags[5010] = rpmpack.EntryStringSlice([]string{"cap_sys_admin=ep"}) }, ErrForbidden, "file capabilities"},
		"unknown tag":          {func(r *recipe) { r.tags[4711] = rpmpack.EntryString("x") }, ErrForbidden, "unexpected (tag 4711)"},
		"obsoletes": {func(r *recipe) {
			r.meta.Obsoletes = rpmpack.Relations{{Name: "ashlar-rib"}}
		}, ErrForbidden, "obsoletes"},
		"size beyond the limit": {func(r *recipe) {
			r.tags[tagFileSizes] = rpmpack.EntryUint32([]uint32{0, 0, 0, 0, 1 << 30, 1 << 30})
		}, ErrForbidden, "unpacks to more than"},
		"bigger than it says": {func(r *recipe) {
			r.tags[tagFileSizes] = rpmpack.EntryUint32([]uint32{0, 0, 0, 0, 10, uint32(len(demoManifest))})
			r.add("bin/demod", modeRegular|0o755, make([]byte, 64<<20))
		}, ErrForbidden, "67108864 bytes) where the header has"},
		"payload of other names": {func(r *recipe) {
			r.tags[tagBaseNames] = rpmpack.EntryStringSlice([]string{"ashlar", "demo", "1.0.0", "bin", "other", "component.yaml"})
		}, ErrForbidden, `/bin/demod" (mode`},
		"file's digest": {func(r *recipe) {
			r.tags[tagFileDigests] = rpmpack.EntryStringSlice([]string{"", "", "", "", strings.Repeat("0", 64), ""})
		}, ErrDamaged, "demod was changed"},
		"other machine":            {func(r *recipe) { r.meta.Arch = "s390x" }, ErrForbidden, "the package is for s390x, this machine is " + HostArch()},
		"no machine":               {func(r *recipe) { r.meta.Arch = "noarch" }, ErrForbidden, "is for noarch"},
		"program of other machine": {func(r *recipe) { r.add("bin/demod", modeRegular|0o755, arm) }, ErrForbidden, "bin/demod is a program for aarch64, the package says"},
		"no manifest":              {func(r *recipe) { r.drop(Root + "/demo/1.0.0/component.yaml") }, ErrForbidden, "no component.yaml"},
		"manifest is no manifest":  {replace("name:", "nome:"), ErrForbidden, "nome"},
		"endless manifest": {func(r *recipe) {
			r.add("component.yaml", modeRegular|0o644, bytes.Repeat([]byte("#\n"), maxManifestSize))
		}, ErrForbidden, "longer than"},
		"other name":      {replace("name: demo", "name: rib"), ErrForbidden, `header's name is "ashlar-demo", the manifest's "ashlar-rib"`},
		"other version":   {replace("1.0.0", "1.0.1"), ErrForbidden, `header's version is "1.0.0", the manifest's "1.0.1"`},
		"other summary":   {replace("Shows", "Hides"), ErrForbidden, "summary"},
		"other level":     {replace("level: 3", "level: 4"), ErrForbidden, `the manifest provides "ashlar-contract(acme.demo.v1) = 4", the header does not`},
		"provides less":   {replace("  - {contract: acme.demo.v1, level: 3}\n", ""), ErrForbidden, `the header provides "ashlar-contract(acme.demo.v1) = 3", the manifest does not`},
		"requires more":   {replace("min: 2, max: 4", "min: 2, max: 5"), ErrForbidden, `the manifest requires "ashlar-contract(ashlar.rib.v1) <= 5"`},
		"optional or not": {replace(", optional: true", ""), ErrForbidden, `the manifest requires "ashlar-contract(ashlar.dataplane.v1) >= 1"`},
		"requires libc": {func(r *recipe) {
			r.meta.Requires = append(r.meta.Requires, &rpmpack.Relation{Name: "libc.so.6"})
		}, ErrForbidden, `the header requires "libc.so.6", the manifest does not`},
		"no program":             {replace("bin/demod", "bin/other"), ErrForbidden, "bin/other is not in the package"},
		"program not executable": {func(r *recipe) { r.add("bin/demod", modeRegular|0o644, program()) }, ErrForbidden, "may not be run"},
		"other vendor's name":    {func(r *recipe) { r.meta.Name = "openssl" }, ErrForbidden, `called "openssl"`},
		"release":                {func(r *recipe) { r.meta.Release = "2" }, ErrForbidden, `"2", want "1"`},
		"epoch":                  {func(r *recipe) { r.meta.Epoch = 7 }, ErrForbidden, "epoch"},
		"compressor":             {func(r *recipe) { r.meta.Compressor = "xz" }, ErrForbidden, `"xz"`},
		"digest algorithm":       {func(r *recipe) { r.tags[tagFileDigestAlgo] = rpmpack.EntryUint32([]uint32{1}) }, ErrForbidden, "want SHA-256"},
	}
}

func TestBadPackages(t *testing.T) {
	keyring := key(t, "trusted").Keyring()
	if _, err := Open(demoRecipe(t).write(t), keyring); err != nil {
		t.Fatalf("the recipe is no good even unspoilt: %v", err)
	}
	for desc, tt := range badPackages(t) {
		r := demoRecipe(t)
		tt.spoil(r)
		file := r.write(t)
		p, err := Open(file, keyring)
		if p != nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), file) {
			t.Errorf("%s: got %v, want %q with %q", desc, err, tt.is, tt.says)
		}
	}
}

// withArchive returns the demo with another archive as its payload, correctly signed.
func withArchive(t *testing.T, change func(archive []byte) []byte) []byte {
	t.Helper()
	r := demoRecipe(t)
	_, payload := parts(t, r.bytes(t))
	d, err := zstd.NewReader(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var archive bytes.Buffer
	if _, err := archive.ReadFrom(d); err != nil {
		t.Fatal(err)
	}
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	payload = e.EncodeAll(change(archive.Bytes()), nil)
	sum := sha256.Sum256(payload)
	r.tags[tagPayloadDigest] = rpmpack.EntryStringSlice([]string{hex.EncodeToString(sum[:])})
	c, _ := parts(t, r.bytes(t))
	return resign(t, c.main.raw, payload, key(t, "trusted"), c.digest, false)
}

func TestBadArchives(t *testing.T) {
	for desc, tt := range map[string]struct {
		change func([]byte) []byte
		is     error
		says   string
	}{
		"bomb behind the last file": {func(a []byte) []byte { return append(a, make([]byte, 256<<20)...) }, ErrForbidden, "unpacks to more"},
		"something behind":          {func(a []byte) []byte { return append(a, "more"...) }, ErrForbidden, "something follows"},
		"cut":                       {func(a []byte) []byte { return a[:len(a)/2] }, ErrDamaged, "ends too early"},
		"empty":                     {func([]byte) []byte { return nil }, ErrDamaged, "ends too early"},
		"no trailer":                {func(a []byte) []byte { return a[:bytes.LastIndex(a, []byte(cpioMagic))] }, ErrDamaged, "ends too early"},
		"no archive":                {func([]byte) []byte { return make([]byte, 4096) }, ErrDamaged, "no entry of a cpio archive"},
		"endless name": {func(a []byte) []byte {
			return slices.Concat(a[:94], []byte("FFFFFFFF"), a[102:])
		}, ErrDamaged, "a name of 4294967295 bytes"},
		"file twice": {func(a []byte) []byte { return append(slices.Clone(a[:bytes.LastIndex(a, []byte(cpioMagic))]), a...) }, ErrForbidden, "which the header does not list"},
		"content":    {func(a []byte) []byte { return bytes.Replace(a, []byte("exit 0"), []byte("exit 1"), 1) }, ErrDamaged, "demod was changed"},
	} {
		_, err := Open(writeFile(t, withArchive(t, tt.change)), key(t, "trusted").Keyring())
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q with %q", desc, err, tt.is, tt.says)
		}
	}
	if _, err := Open(writeFile(t, withArchive(t, func(a []byte) []byte { return a })), key(t, "trusted").Keyring()); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// look examines a package in memory.
func look(b []byte, keyring Keyring) (*Package, error) {
	return examine(bytes.NewReader(b), int64(len(b)), keyring, HostArch())
}

func TestTruncated(t *testing.T) {
	whole, keyring := readFile(t, demoPackage(t)), key(t, "trusted").Keyring()
	for n := range whole {
		if _, err := look(whole[:n], keyring); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := look(append(whole, 0), keyring); !errors.Is(err, ErrDamaged) {
		t.Errorf("one byte more: %v", err)
	}
}

// A byte of the header or the payload cannot change unseen. The lead and the container of the signature are under no
// signature: a change there is refused too, or means nothing.
func TestFlippedBytes(t *testing.T) {
	whole, keyring := readFile(t, demoPackage(t)), key(t, "trusted").Keyring()
	c, _ := parts(t, whole)
	signed := len(c.head) - len(c.main.raw)
	harmless := 0
	for i := range whole {
		for _, mask := range []byte{0x01, 0xff} {
			whole[i] ^= mask
			p, err := look(whole, keyring)
			whole[i] ^= mask
			switch {
			case err == nil && i >= signed:
				t.Fatalf("byte %d of %d flipped by %#x: accepted (header from %d, payload from %d)", i, len(whole), mask, signed, len(c.head))
			case err == nil && (p.Digest != c.digest || p.Signer != key(t, "trusted").ID()):
				t.Fatalf("byte %d flipped by %#x: accepted as %s signed by %s", i, mask, p.Digest, p.Signer)
			case err == nil:
				harmless++
			case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnsigned) && !errors.Is(err, ErrUntrusted) && !errors.Is(err, ErrForbidden):
				t.Fatalf("byte %d flipped by %#x: %v", i, mask, err)
			}
		}
	}
	t.Logf("%d bytes before the header, of which flipping meant nothing %d times of %d", signed, harmless, 2*signed)
}

func TestChangedAfterOpen(t *testing.T) {
	original := readFile(t, demoPackage(t))
	other := readFile(t, demoPackage(t, "Shows", "Tells"))
	c, _ := parts(t, original)
	changes := map[string]func() []byte{
		"truncated": func() []byte { return original[:len(original)-100] },
		"longer":    func() []byte { return append(slices.Clone(original), 0) },
		"another":   func() []byte { return other },
		"empty":     func() []byte { return nil },
	}
	for i := 0; i < len(original); i += 1 + len(original)/60 {
		changes["byte "+string(rune('0'+i%10))+" "+hex.EncodeToString([]byte{byte(i >> 8), byte(i)})] = func() []byte {
			b := slices.Clone(original)
			b[i] ^= 0x80
			return b
		}
	}
	changes["last byte"] = func() []byte { b := slices.Clone(original); b[len(b)-1] ^= 1; return b }
	changes["first of the payload"] = func() []byte { b := slices.Clone(original); b[len(c.head)] ^= 1; return b }
	for desc, change := range changes {
		file := writeFile(t, original)
		p, err := Open(file, key(t, "trusted").Keyring())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, change(), 0o644); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		if err := p.Unpack(filepath.Join(parent, "tree")); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", desc, err)
		}
		if left, _ := os.ReadDir(parent); len(left) != 0 {
			t.Errorf("%s: left %v behind", desc, left)
		}
	}
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none.rpm"), key(t, "trusted").Keyring()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Open(dir, key(t, "trusted").Keyring()); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
	large := filepath.Join(dir, "large.rpm")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxPackageSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(large, key(t, "trusted").Keyring()); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
}
