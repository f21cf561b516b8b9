// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// trust writes a key as <name>.asc into a directory, with a delegation when there is one.
func trust(t *testing.T, dir string, k *Key, delegation string) {
	t.Helper()
	public, err := k.Public()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, k.Name()+".asc"), public, 0o644); err != nil {
		t.Fatal(err)
	}
	if delegation == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, k.Name()+".yaml"), []byte(delegation), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestKeysOnDisk(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadKey(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no key: %v", err)
	}
	made, err := NewKey(dir, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewKey(dir, "acme"); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second key of the name: %v", err)
	}
	if _, err := NewKey(dir, "../acme"); err == nil {
		t.Error("a key was written elsewhere")
	}
	if info, err := os.Stat(filepath.Join(dir, "acme.key")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the secret key: %v, %v", info.Mode(), err)
	}
	loaded, err := LoadKey(dir)
	if err != nil || loaded.ID() != made.ID() || loaded.Name() != "acme" {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
	file, err := Build(demoTree(t), t.TempDir(), loaded, buildTime())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := LoadKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := Open(file, ring); err != nil || p.Signer != made.ID() {
		t.Errorf("signed by %v, %v", p, err)
	}
}

func TestBadKeyrings(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadKeyring(dir); err == nil || !strings.Contains(err.Error(), "no trusted keys") {
		t.Errorf("empty: %v", err)
	}
	if _, err := Open(demoPackage(t), Keyring{}); !errors.Is(err, ErrUntrusted) {
		t.Errorf("the zero keyring: %v", err)
	}
	trust(t, dir, key(t, "trusted"), "components: []\n")
	if _, err := LoadKeyring(dir); err == nil || !strings.Contains(err.Error(), "names no components") {
		t.Errorf("a delegation of nothing: %v", err)
	}
	trust(t, dir, key(t, "trusted"), "component: [demo]\n")
	if _, err := LoadKeyring(dir); err == nil {
		t.Error("a delegation with an unknown key was taken")
	}
	secret, err := armored(openpgp.PrivateKeyType, func(w *bytes.Buffer) error {
		return key(t, "stranger").entity.SerializePrivateWithoutSigning(w, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.asc"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeyring(dir); err == nil || !strings.Contains(err.Error(), "secret key") {
		t.Errorf("a secret key: %v", err)
	}
}

func TestExpiredKey(t *testing.T) {
	brief := key(t, "brief")
	file, err := Build(demoTree(t), t.TempDir(), brief, buildTime())
	if err != nil {
		t.Fatal(err)
	}
	ring := brief.Keyring()
	if _, err := Open(file, ring.At(time.Now().Add(2*time.Hour))); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "expired") || !strings.Contains(err.Error(), brief.ID()) {
		t.Errorf("after its time: %v", err)
	}
	for desc, at := range map[string]time.Time{"now": time.Now(), "a clock at 1970": time.Unix(0, 0)} {
		if _, err := Open(file, ring.At(at)); err != nil {
			t.Errorf("%s: %v", desc, err)
		}
	}
	signature, err := brief.SignDetached([]byte("evidence"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.At(time.Now().Add(2*time.Hour)).VerifyDetached([]byte("evidence"), signature); !errors.Is(err, ErrUntrusted) {
		t.Errorf("evidence after its time: %v", err)
	}
}

func TestRevokedKey(t *testing.T) {
	k, err := generate("revoked", 0)
	if err != nil {
		t.Fatal(err)
	}
	file, err := Build(demoTree(t), t.TempDir(), k, buildTime())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.entity.RevokeKey(packet.KeyCompromised, "stolen", signing()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	trust(t, dir, k, "")
	ring, err := LoadKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, ring); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("got %v", err)
	}
}

func TestDelegation(t *testing.T) {
	file := demoPackage(t)
	for desc, tt := range map[string]struct{ delegation, says string }{
		"none":                 {"", ""},
		"its component":        {"{components: [acme-*, demo], capabilities: [CAP_NET_RAW]}", ""},
		"its components":       {"{components: [d*], capabilities: [CAP_NET_RAW, CAP_BPF]}", ""},
		"another's":            {"{components: [acme-*], capabilities: [CAP_NET_RAW]}", `may sign acme-*, not "demo"`},
		"without a capability": {"{components: [demo]}", "may not sign a component with CAP_NET_RAW"},
	} {
		dir := t.TempDir()
		trust(t, dir, key(t, "trusted"), tt.delegation)
		ring, err := LoadKeyring(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(file, ring)
		if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: got %v, want %q", desc, err, tt.says)
		}
	}
}

func TestDetached(t *testing.T) {
	content, trusted := []byte(`{"result":"passed"}`), key(t, "trusted")
	signature, err := trusted.SignDetached(content)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := trusted.Keyring().VerifyDetached(content, signature); err != nil || id != trusted.ID() {
		t.Errorf("signed by %q, %v", id, err)
	}
	packaged := readFile(t, demoPackage(t))
	c, _ := parts(t, packaged)
	for desc, tt := range map[string]struct {
		content, signature []byte
		ring               Keyring
		is                 error
	}{
		"changed":     {[]byte(`{"result":"failed"}`), signature, trusted.Keyring(), ErrDamaged},
		"unknown key": {content, signature, key(t, "stranger").Keyring(), ErrUntrusted},
		"no keys":     {content, signature, Keyring{}, ErrUntrusted},
		"empty":       {content, nil, trusted.Keyring(), ErrUnsigned},
		"cut":         {content, signature[:len(signature)/2], trusted.Keyring(), ErrDamaged},
		"no armour":   {content, c.headerSignatures()[0], trusted.Keyring(), ErrUnsigned},
	} {
		if _, err := tt.ring.VerifyDetached(tt.content, tt.signature); !errors.Is(err, tt.is) {
			t.Errorf("%s: got %v, want %v", desc, err, tt.is)
		}
	}
}

func TestSignFile(t *testing.T) {
	file, trusted := filepath.Join(t.TempDir(), "evidence.json"), key(t, "trusted")
	if err := os.WriteFile(file, []byte("{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifyFile(file, trusted.Keyring()); !errors.Is(err, ErrUnsigned) {
		t.Errorf("before: %v", err)
	}
	if err := SignFile(file, trusted); err != nil {
		t.Fatal(err)
	}
	if content, id, err := VerifyFile(file, trusted.Keyring()); err != nil || id != trusted.ID() || string(content) != "{}\n" {
		t.Errorf("%q signed by %q, %v", content, id, err)
	}
}
