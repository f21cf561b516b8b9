// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

func build(t *testing.T, tree string) *Package {
	t.Helper()
	file, err := Build(tree, t.TempDir(), key(t, "trusted"), buildTime())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(file, key(t, "trusted").Keyring())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The digest depends on names, contents and the time given, on nothing of this machine.
func TestSameTreeSameDigest(t *testing.T) {
	first := demoTree(t)
	large := bytes.Repeat(program(), 2000)
	second := demoTree(t)
	for _, dir := range []string{first, second} {
		if err := os.WriteFile(filepath.Join(dir, "bin", "large"), large, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := build(t, first).Digest
	if err := filepath.WalkDir(second, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))
	}); err != nil {
		t.Fatal(err)
	}
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	for _, n := range []int{1, 3, 8} {
		runtime.GOMAXPROCS(n)
		if got := build(t, second).Digest; got != want {
			t.Errorf("with %d processors: %s, want %s", n, got, want)
		}
	}
	file, err := Build(first, t.TempDir(), key(t, "stranger"), buildTime())
	if err != nil {
		t.Fatal(err)
	}
	if p, err := Open(file, key(t, "stranger").Keyring()); err != nil || p.Digest != want {
		t.Errorf("signed by another key: %v, %v; want %s", p, err, want)
	}
}

// copyTree copies what a build of a component needs.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fromSource copies the source to a new directory, compiles a component there as `make build` does and packs it.
func fromSource(t *testing.T, component, daemon string) *Package {
	t.Helper()
	source := t.TempDir()
	for _, dir := range []string{"proto", "services/kit", "services/" + component} {
		copyTree(t, filepath.Join("..", dir), filepath.Join(source, dir))
	}
	for _, file := range []string{"go.mod", "go.sum", "house_test.go"} {
		if err := os.WriteFile(filepath.Join(source, file), readFile(t, filepath.Join("..", file)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(tree, "bin", daemon), "./services/"+component)
	cmd.Dir = source
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GOFLAGS=") && !strings.HasPrefix(v, "PWD=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	// An empty GOFLAGS also hides one set by `go env -w`.
	cmd.Env = append(cmd.Env, "GOFLAGS=", "CGO_ENABLED=0", "PWD="+source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	manifest := readFile(t, filepath.Join("..", "services", component, "component.yaml"))
	if err := os.WriteFile(filepath.Join(tree, "component.yaml"), manifest, 0o644); err != nil {
		t.Fatal(err)
	}
	return build(t, tree)
}

func TestReproducibleFromSource(t *testing.T) {
	first, second := fromSource(t, "host", "hostd"), fromSource(t, "host", "hostd")
	if first.Digest != second.Digest {
		t.Errorf("two builds of one source: %s and %s", first.Digest, second.Digest)
	}
}

func TestBuildRefuses(t *testing.T) {
	for desc, tt := range map[string]struct {
		spoil func(dir string) error
		says  string
	}{
		"symbolic link": {func(dir string) error { return os.Symlink("/etc/shadow", filepath.Join(dir, "link")) }, "link is no regular file"},
		"no manifest":   {func(dir string) error { return os.Remove(filepath.Join(dir, "component.yaml")) }, "component.yaml"},
		"no program":    {func(dir string) error { return os.Remove(filepath.Join(dir, "bin/demod")) }, "bin/demod"},
		"not runnable":  {func(dir string) error { return os.Chmod(filepath.Join(dir, "bin/demod"), 0o644) }, "may not be run"},
		"odd name":      {func(dir string) error { return os.WriteFile(filepath.Join(dir, "a b"), nil, 0o644) }, "control characters"},
	} {
		dir, out := demoTree(t), t.TempDir()
		if err := tt.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(dir, out, key(t, "trusted"), buildTime()); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", desc, err, tt.says)
		}
		if left, _ := os.ReadDir(out); len(left) != 0 {
			t.Errorf("%s: left %v behind", desc, left)
		}
	}
}

func TestVersionsOrder(t *testing.T) {
	for _, tt := range [][2]string{{"1.2.3", "1.2.3"}, {"1.2.3-rc.1", "1.2.3~rc.1"}, {"1.2.3-rc-1+b-2", "1.2.3~rc_1+b_2"}} {
		if got := rpmVersion(tt[0]); got != tt[1] {
			t.Errorf("%s became %s, want %s", tt[0], got, tt[1])
		}
	}
	if p, err := Open(demoPackage(t, "1.0.0", "1.0.0-rc.1+git"), key(t, "trusted").Keyring()); err != nil || p.Version != "1.0.0-rc.1+git" {
		t.Errorf("a pre-release: %v, %v", p, err)
	}
}

// rpmCommand is the distribution's rpm with a database of its own, that demands signatures.
type rpmCommand struct{ root string }

func newRPMCommand(t *testing.T, trusted ...*Key) rpmCommand {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("rpm installs below another root only for root: run the tests as root")
	}
	r := rpmCommand{t.TempDir()}
	for _, k := range trusted {
		public, err := k.Public()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(r.root, "key.asc")
		if err := os.WriteFile(file, public, 0o644); err != nil {
			t.Fatal(err)
		}
		r.must(t, "--import", file)
	}
	return r
}

func (r rpmCommand) run(args ...string) (string, error) {
	out, err := exec.Command("rpm", append([]string{"--root", r.root, "--define", "_pkgverify_level all"}, args...)...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("rpm is missing: run make prerequisites")
	}
	return string(out), err
}

func (r rpmCommand) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.run(args...)
	if err != nil {
		t.Fatalf("rpm %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func TestRPMQueries(t *testing.T) {
	r, file := newRPMCommand(t, key(t, "trusted")), demoPackage(t)
	p, err := Open(file, key(t, "trusted").Keyring())
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"--provides":   "ashlar-demo = 1.0.0-1\nashlar-contract(acme.demo.v1) = 3\nashlar-contract(ashlar.lifecycle.v1) = 2\n",
		"--requires":   "ashlar-contract(ashlar.config.v1) >= 1\nashlar-contract(ashlar.rib.v1) >= 2\nashlar-contract(ashlar.rib.v1) <= 4\nrpmlib(CompressedFileNames) <= 3.0.4-1\nrpmlib(FileDigests) <= 4.6.0-1\nrpmlib(PayloadIsZstd) <= 5.4.18-1\n",
		"--recommends": "ashlar-contract(ashlar.dataplane.v1) >= 1\n",
		"--scripts":    "",
		"--triggers":   "",
		"-l": "/usr/lib/ashlar\n/usr/lib/ashlar/demo\n/usr/lib/ashlar/demo/1.0.0\n/usr/lib/ashlar/demo/1.0.0/bin\n/usr/lib/ashlar/demo/1.0.0/bin/demod\n" +
			"/usr/lib/ashlar/demo/1.0.0/component.yaml\n/usr/lib/ashlar/demo/1.0.0/contracts\n/usr/lib/ashlar/demo/1.0.0/contracts/ashlar.config.v1.yaml\n",
	} {
		if got := r.must(t, "-qp", query, file); got != want {
			t.Errorf("rpm -qp %s: got %q, want %q", query, got, want)
		}
	}
	format := "%{SHA256HEADER} %{ARCH} %{BUILDTIME} [%{FILEMTIMES} ]%{BUILDHOST}%{LICENSE}"
	want := p.Digest + " " + HostArch() + " 1700000000 " + strings.Repeat("1700000000 ", 8) + "Apache-2.0"
	if got := r.must(t, "-qp", "--qf", format, file); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRPMSignatures(t *testing.T) {
	trusting, strange := newRPMCommand(t, key(t, "trusted")), newRPMCommand(t, key(t, "stranger"))
	file := demoPackage(t)
	if out := trusting.must(t, "-Kv", file); strings.Count(out, "Signature, key ID "+key(t, "trusted").ID()[8:]+": OK") != 2 {
		t.Errorf("rpm -Kv says %s", out)
	}
	unsigned := demoRecipe(t)
	unsigned.signer = nil
	flipped := readFile(t, file)
	flipped[len(flipped)-9] ^= 1
	for desc, tt := range map[string]struct {
		r    rpmCommand
		file string
	}{
		"unsigned":    {trusting, unsigned.write(t)},
		"flipped":     {trusting, writeFile(t, flipped)},
		"unknown key": {strange, file},
	} {
		if out, err := tt.r.run("-K", tt.file); err == nil {
			t.Errorf("%s: rpm -K says %s", desc, out)
		}
	}
}

// A vendor may sign with Ed25519 in its old form (algorithm 22): both we and the rpm command take it, under its own tags.
func TestVendorSignsByEdDSA(t *testing.T) {
	entity, err := openpgp.NewEntity("vendor", "", "", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	entity.Subkeys = nil
	vendor := &Key{name: "vendor", entity: entity}
	c, payload := parts(t, readFile(t, demoPackage(t)))
	file := writeFile(t, resign(t, c.main.raw, payload, vendor, c.digest, true))
	if p, err := Open(file, vendor.Keyring()); err != nil || p.Digest != c.digest || p.Signer != vendor.ID() {
		t.Errorf("got %v, %v", p, err)
	}
	if out := newRPMCommand(t, vendor).must(t, "-Kv", file); !strings.Contains(out, "EdDSA/SHA256 Signature") {
		t.Errorf("rpm -Kv says %s", out)
	}
}

func TestVersionsSideBySide(t *testing.T) {
	r := newRPMCommand(t, key(t, "trusted"))
	r.must(t, "-i", "--nodeps", demoPackage(t))
	r.must(t, "-i", "--nodeps", demoPackage(t, "1.0.0", "1.1.0"))
	if got := r.must(t, "-q", "ashlar-demo"); got != "ashlar-demo-1.0.0-1."+HostArch()+"\nashlar-demo-1.1.0-1."+HostArch()+"\n" {
		t.Errorf("installed are %s", got)
	}
	r.must(t, "-V", "--nodeps", "ashlar-demo")
	r.must(t, "-e", "ashlar-demo-1.0.0")
	r.must(t, "-V", "--nodeps", "ashlar-demo")
	if _, err := os.Stat(filepath.Join(r.root, Root, "demo/1.0.0")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the removed version's directory: %v", err)
	}
	if got := r.must(t, "-qf", Root+"/demo/1.1.0/bin"); !strings.HasPrefix(got, "ashlar-demo-1.1.0") {
		t.Errorf("the directory belongs to %s", got)
	}
	r.must(t, "-e", "ashlar-demo")
	if _, err := os.Stat(filepath.Join(r.root, Root)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something stays: %v", err)
	}
}

func TestPublish(t *testing.T) {
	trusted, dir := key(t, "trusted"), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.rpm"), demoRecipe(t).bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	var index [2][]byte
	for i := range index {
		if err := Publish(context.Background(), dir, trusted, buildTime()); err != nil {
			t.Fatal(err)
		}
		content, id, err := VerifyFile(filepath.Join(dir, "repodata/repomd.xml"), trusted.Keyring())
		if err != nil || id != trusted.ID() || !bytes.Contains(content, []byte("primary.xml.gz")) || !bytes.Contains(content, []byte("<revision>1700000000<")) {
			t.Fatalf("%s signed by %q, %v", content, id, err)
		}
		index[i] = content
	}
	if !bytes.Equal(index[0], index[1]) {
		t.Errorf("published twice, two indices: %s and %s", index[0], index[1])
	}
	if ring, err := LoadKeyring(filepath.Join(dir, "keys")); err != nil || len(ring.entities) != 1 {
		t.Errorf("the published key: %v", err)
	}
}
