// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// FuzzOpen: whatever the bytes, nothing panics, and only what the key signed is accepted.
func FuzzOpen(f *testing.F) {
	whole, keyring := readFile(f, demoPackage(f)), key(f, "trusted").Keyring()
	c, _ := parts(f, whole)
	f.Add(whole)
	f.Add(whole[:len(c.head)])
	recipe := demoRecipe(f).bytes(f)
	other, _ := parts(f, recipe)
	f.Add(recipe)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := look(b, keyring)
		if (p == nil) == (err == nil) {
			t.Fatalf("got %v and %v", p, err)
		}
		if err == nil && p.Digest != c.digest && p.Digest != other.digest {
			t.Fatalf("accepted %s %s", p.Component, p.Digest)
		}
	})
}

// FuzzSigned goes on where FuzzOpen ends: what a trusted key has signed may still be nonsense.
func FuzzSigned(f *testing.F) {
	c, payload := parts(f, readFile(f, demoPackage(f)))
	signer := key(f, "trusted")
	f.Add(c.main.raw)
	f.Fuzz(func(t *testing.T, main []byte) {
		sum := sha256.Sum256(main)
		p, err := look(resign(t, main, payload, signer, hex.EncodeToString(sum[:]), false), signer.Keyring())
		if (p == nil) == (err == nil) {
			t.Fatalf("got %v and %v", p, err)
		}
		if err == nil && (p.Component != "demo" || p.Size > maxUnpackedSize) {
			t.Fatalf("accepted %+v", p)
		}
	})
}

// FuzzPayload: a payload that changed after it was verified ends in an error, within bounds.
func FuzzPayload(f *testing.F) {
	p, err := Open(demoPackage(f), key(f, "trusted").Keyring())
	if err != nil {
		f.Fatal(err)
	}
	_, payload := parts(f, readFile(f, p.file))
	d, err := zstd.NewReader(bytes.NewReader(payload))
	if err != nil {
		f.Fatal(err)
	}
	defer d.Close()
	archive, err := io.ReadAll(d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(archive)
	e, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		compressed := e.EncodeAll(b, nil)
		sum := sha256.Sum256(compressed)
		changed := *p
		changed.payload = hex.EncodeToString(sum[:])
		read := int64(0)
		err := changed.walk(bytes.NewReader(compressed), func(_ entry, body io.Reader) error {
			n, err := io.Copy(io.Discard, body)
			read += n
			return err
		})
		if err == nil && read != p.Size {
			t.Fatalf("accepted %d bytes, want %d", read, p.Size)
		}
	})
}
