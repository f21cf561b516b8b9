// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/google/rpmpack"
)

const demoManifest = `# SPDX-License-Identifier: Apache-2.0
name: demo
daemon: demod
version: 1.0.0
summary: Shows how a component is packed
provides:
  - {contract: acme.demo.v1, level: 3}
  - {contract: ashlar.lifecycle.v1, level: 2}
requires:
  - {contract: ashlar.config.v1, levels: {min: 1}}
  - {contract: ashlar.rib.v1, levels: {min: 2, max: 4}}
  - {contract: ashlar.dataplane.v1, levels: {min: 1}, optional: true}
run: {command: [bin/demod]}
capabilities: [CAP_NET_RAW]
`

// buildTime is any time of a commit.
func buildTime() time.Time { return time.Unix(1_700_000_000, 0) }

// key returns one of the tests' keys: they take a second to make.
func key(t testing.TB, name string) *Key {
	t.Helper()
	k, err := keys[name]()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var keys = map[string]func() (*Key, error){
	"trusted":  sync.OnceValues(func() (*Key, error) { return generate("trusted", 0) }),
	"stranger": sync.OnceValues(func() (*Key, error) { return generate("stranger", 0) }),
	"brief":    sync.OnceValues(func() (*Key, error) { return generate("brief", time.Hour) }),
}

// program is a file that compresses to about half.
func program() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	out := []byte("#!/bin/sh\nexit 0\n")
	for range 3000 {
		out = append(out, byte('a'+r.IntN(16)))
	}
	return out
}

// demoTree writes a component's directory; edit is a list of replacements in its manifest.
func demoTree(t testing.TB, edit ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string][]byte{
		"component.yaml":                  []byte(strings.NewReplacer(edit...).Replace(demoManifest)),
		"contracts/ashlar.config.v1.yaml": []byte("interactions: []\n"),
		"bin/demod":                       program(),
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(file, body, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// demoPackage builds the demo with the trusted key.
func demoPackage(t testing.TB, edit ...string) string {
	t.Helper()
	file, err := Build(demoTree(t, edit...), t.TempDir(), key(t, "trusted"), buildTime())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// recipe is a package that is put together by hand: good at first, then spoilt by a test.
type recipe struct {
	meta   rpmpack.RPMMetaData
	files  []rpmpack.RPMFile
	tags   map[int]rpmpack.IndexEntry
	spoil  func(*rpmpack.RPM)
	signer *Key
}

func demoRecipe(t testing.TB) *recipe {
	t.Helper()
	m, err := manifest.Parse([]byte(demoManifest))
	if err != nil {
		t.Fatal(err)
	}
	r := &recipe{
		meta: rpmpack.RPMMetaData{
			Name: "ashlar-demo", Version: "1.0.0", Release: "1", Epoch: rpmpack.NoEpoch, Summary: m.Summary, Arch: HostArch(),
			OS: "linux", Compressor: "zstd", BuildTime: buildTime(), Provides: pack(provides(m)), Requires: pack(requires(m, false)), Recommends: pack(requires(m, true)),
		},
		tags:   map[int]rpmpack.IndexEntry{tagFileDigestAlgo: rpmpack.EntryUint32([]uint32{hashSHA256})},
		signer: key(t, "trusted"),
	}
	for _, dir := range []string{Root, Root + "/demo", Root + "/demo/1.0.0", Root + "/demo/1.0.0/bin"} {
		r.files = append(r.files, directory(dir, buildTime()))
	}
	r.add("component.yaml", modeRegular|0o644, []byte(demoManifest))
	r.add("bin/demod", modeRegular|0o755, program())
	return r
}

// add adds a file below the component's directory, or replaces it.
func (r *recipe) add(name string, mode uint, body []byte) {
	path := Root + "/demo/1.0.0/" + name
	if strings.HasPrefix(name, "/") {
		path = name
	}
	r.drop(path)
	r.files = append(r.files, rpmpack.RPMFile{Name: path, Mode: mode, Body: body, Owner: owner, Group: owner})
}

func (r *recipe) drop(path string) {
	r.files = slices.DeleteFunc(r.files, func(f rpmpack.RPMFile) bool { return f.Name == path })
}

// mode gives a file another mode in the header than rpmpack would.
func (r *recipe) mode(name string, mode uint16) {
	slices.SortFunc(r.files, func(a, b rpmpack.RPMFile) int { return strings.Compare(a.Name, b.Name) })
	modes := make([]uint16, len(r.files))
	for i, f := range r.files {
		modes[i] = uint16(f.Mode)
		if strings.HasSuffix(f.Name, name) {
			modes[i] = mode
		}
	}
	r.tags[tagFileModes] = rpmpack.EntryUint16(modes)
}

// bytes returns the package.
func (r *recipe) bytes(t testing.TB) []byte {
	t.Helper()
	p, err := rpmpack.NewRPM(r.meta)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.files {
		p.AddFile(f)
	}
	for tag, e := range r.tags {
		p.AddCustomTag(tag, e)
	}
	if r.spoil != nil {
		r.spoil(p)
	}
	if r.signer != nil {
		p.SetPGPSigner(r.signer.sign)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (r *recipe) write(t testing.TB) string {
	t.Helper()
	return writeFile(t, r.bytes(t))
}

func writeFile(t testing.TB, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "package.rpm")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func readFile(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parts takes a package apart.
func parts(t testing.TB, b []byte) (c *container, payload []byte) {
	t.Helper()
	c, err := readContainer(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return c, b[len(c.head):]
}

// value is one tag for assemble.
type value struct {
	tag, kind uint32
	count     int
	data      []byte
}

// assemble writes a header with a region around the values.
func assemble(region uint32, values []value) []byte {
	var index, data bytes.Buffer
	put := func(w *bytes.Buffer, numbers ...uint32) {
		for _, n := range numbers {
			_ = binary.Write(w, binary.BigEndian, n)
		}
	}
	for _, v := range values {
		for v.kind == kindInt32 && data.Len()%4 != 0 || v.kind == kindInt16 && data.Len()%2 != 0 {
			data.WriteByte(0)
		}
		put(&index, v.tag, v.kind, uint32(data.Len()), uint32(v.count))
		data.Write(v.data)
	}
	var out bytes.Buffer
	tags := uint32(len(values) + 1)
	put(&out, headerMagic, 0, tags, uint32(data.Len()+indexEntrySize))
	put(&out, region, kindBinary, uint32(data.Len()), indexEntrySize)
	out.Write(index.Bytes())
	out.Write(data.Bytes())
	put(&out, region, kindBinary, -tags*indexEntrySize, indexEntrySize)
	return out.Bytes()
}

// resign puts a signature header of its own before a main header and a payload: by the tags of EdDSA and DSA when dsa.
func resign(t testing.TB, main, payload []byte, by *Key, digest string, dsa bool) []byte {
	t.Helper()
	all := slices.Concat(main, payload)
	header, err := by.sign(main)
	if err != nil {
		t.Fatal(err)
	}
	both, err := by.sign(all)
	if err != nil {
		t.Fatal(err)
	}
	tags := []uint32{sigTagRSA, sigTagPGP}
	if dsa {
		tags = []uint32{sigTagDSA, sigTagGPG}
	}
	signatures := assemble(regionSignature, []value{
		{tags[0], kindBinary, len(header), header},
		{sigTagSHA256, kindString, 1, append([]byte(digest), 0)},
		{sigTagSize, kindInt32, 1, binary.BigEndian.AppendUint32(nil, uint32(len(all)))},
		{tags[1], kindBinary, len(both), both},
	})
	lead := make([]byte, leadSize)
	copy(lead, []byte{0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0, 0, 1})
	copy(lead[10:], "ashlar-demo-1.0.0-1")
	copy(lead[76:], []byte{0, 1, 0, 5})
	return slices.Concat(lead, signatures, make([]byte, (8-len(signatures)%8)%8), main, payload)
}
