// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/sassoftware/go-rpmutils"
	"sigs.k8s.io/yaml"
)

// Keyring is the public keys that are trusted, and for what. The zero value trusts nothing.
type Keyring struct {
	entities    openpgp.EntityList
	delegations map[string]Delegation // by key id; a key without one may sign everything
	now         time.Time
}

// Delegation bounds what a key may sign: it is the file <name>.yaml beside <name>.asc.
type Delegation struct {
	// Components are patterns as of path.Match, for example "acme-*".
	Components []string `json:"components"`
	// Capabilities are the most that a manifest may ask for.
	Capabilities []string `json:"capabilities,omitempty"`
}

const maxKeyFile = 1 << 20

// LoadKeyring reads every *.asc of a directory, with its delegation when there is one. A directory without keys
// is an error: it would refuse everything.
func LoadKeyring(dir string) (Keyring, error) {
	k := Keyring{delegations: map[string]Delegation{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.asc"))
	if err != nil {
		return k, fmt.Errorf("rpm: %w", err)
	}
	if len(files) == 0 {
		return k, fmt.Errorf("rpm: no trusted keys: %s holds no *.asc", dir)
	}
	for _, file := range files {
		if err := k.add(file); err != nil {
			return k, fmt.Errorf("rpm: %s: %w", file, err)
		}
	}
	return k, nil
}

func (k *Keyring) add(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	es, err := openpgp.ReadArmoredKeyRing(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return err
	}
	d, err := delegation(strings.TrimSuffix(file, ".asc") + ".yaml")
	if err != nil {
		return err
	}
	for _, e := range es {
		if e.PrivateKey != nil {
			return errors.New("holds a secret key: trust is given by the public one")
		}
		k.entities = append(k.entities, e)
		if d != nil {
			k.delegations[keyID(e.PrimaryKey.KeyId)] = *d
		}
	}
	return nil
}

func delegation(file string) (*Delegation, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := &Delegation{}
	if err := yaml.UnmarshalStrict(text, d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(d.Components) == 0 {
		return nil, fmt.Errorf("%s: names no components: remove the key instead", file)
	}
	for _, p := range d.Components {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("%s: pattern %q: %w", file, p, err)
		}
	}
	return d, nil
}

// At returns the keyring as of a time other than the clock's: whether keys have expired is judged by it. A
// signature's own time counts when it is later, so that a clock at 1970 refuses nothing.
func (k Keyring) At(now time.Time) Keyring {
	k.now = now
	return k
}

// config judges at the later of the clock and the signature's time.
func (k Keyring) config(signed time.Time) *packet.Config {
	now := k.now
	if now.IsZero() {
		now = time.Now()
	}
	if signed.After(now) {
		now = signed
	}
	return &packet.Config{Time: func() time.Time { return now }}
}

// Allows returns an error when a key may not vouch for a component, by name.
func (k Keyring) Allows(signer, component string) error {
	d, bounded := k.delegations[signer]
	if !bounded {
		return nil
	}
	for _, p := range d.Components {
		if ok, _ := path.Match(p, component); ok {
			return nil
		}
	}
	return fmt.Errorf("%w: key %s may sign %s, not %q", ErrUntrusted, k.describe(signer), strings.Join(d.Components, ", "), component)
}

// allowsManifest bounds a package by what its signer was delegated.
func (k Keyring) allowsManifest(signer string, m *manifest.Manifest) error {
	if err := k.Allows(signer, m.Name); err != nil {
		return err
	}
	d, bounded := k.delegations[signer]
	for _, c := range m.Capabilities {
		if bounded && !slices.Contains(d.Capabilities, c) {
			return fmt.Errorf("%w: key %s may not sign a component with %s", ErrUntrusted, k.describe(signer), c)
		}
	}
	return nil
}

// describe names a key for people: its id and whose it is.
func (k Keyring) describe(id string) string {
	for _, e := range k.entities {
		if identity := e.PrimaryIdentity(); keyID(e.PrimaryKey.KeyId) == id && identity != nil {
			return id + " (" + identity.Name + ")"
		}
	}
	return id
}

// verify checks all signatures and digests of a package and returns the id of the key that signed its header.
func (k Keyring) verify(c *container, payload io.Reader) (string, error) {
	packets := c.headerSignatures()
	if len(packets) == 0 {
		return "", fmt.Errorf("%w: the package has no signature over its header", ErrUnsigned)
	}
	if len(k.entities) == 0 {
		return "", fmt.Errorf("%w: the keyring is empty", ErrUntrusted)
	}
	// The library takes a list of no keys for "do not check", hence the test above.
	_, sigs, err := rpmutils.Verify(io.MultiReader(bytes.NewReader(c.head), payload), k.entities)
	if err != nil {
		return "", k.explain(err)
	}
	signer, headers := "", 0
	for _, s := range sigs {
		if !s.HeaderOnly {
			continue
		}
		id, err := k.check(c.main.raw, packets[headers], s.CreationTime)
		if err != nil {
			return "", err
		}
		signer, headers = id, headers+1
	}
	if headers != len(packets) {
		return "", fmt.Errorf("%w: a signature over the header was not checked", ErrUntrusted)
	}
	return signer, nil
}

// check judges one signature by what its key may do at the time.
func (k Keyring) check(message, signature []byte, signed time.Time) (string, error) {
	sig, signer, err := openpgp.VerifyDetachedSignature(k.entities, bytes.NewReader(message), bytes.NewReader(signature), k.config(signed))
	if err != nil {
		if signer != nil {
			return "", fmt.Errorf("%w: signed by key %s: %w", ErrUntrusted, k.describe(keyID(signer.PrimaryKey.KeyId)), err)
		}
		return "", k.explain(err)
	}
	if sig.SigType != packet.SigTypeBinary || !slices.Contains([]crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}, sig.Hash) {
		return "", fmt.Errorf("%w: the signature is of type %d by %s, want one over binary data by SHA-2", ErrUntrusted, sig.SigType, sig.Hash)
	}
	return keyID(signer.PrimaryKey.KeyId), nil
}

// explain sorts the libraries' errors.
func (k Keyring) explain(err error) error {
	var missing rpmutils.KeyNotFoundError
	var system *os.PathError
	switch {
	case errors.As(err, &system):
		return err
	case errors.As(err, &missing):
		return fmt.Errorf("%w: signed by key %s, which is not in the keyring", ErrUntrusted, keyID(missing.KeyID))
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return fmt.Errorf("%w: signed by a key that is not in the keyring, or one that may not sign", ErrUntrusted)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// VerifyDetached checks an armoured signature of a file's content and returns the id of the key that made it.
func (k Keyring) VerifyDetached(content, signature []byte) (string, error) {
	block, err := armor.Decode(bytes.NewReader(signature))
	if err != nil || block.Type != openpgp.SignatureType {
		return "", fmt.Errorf("rpm: %w: no armoured signature (%v)", ErrUnsigned, err)
	}
	raw, err := io.ReadAll(io.LimitReader(block.Body, maxSignature))
	if err != nil {
		return "", fmt.Errorf("rpm: signature: %w: %w", ErrDamaged, err)
	}
	p, err := packet.Read(bytes.NewReader(raw))
	if err != nil {
		return "", fmt.Errorf("rpm: signature: %w: %w", ErrDamaged, err)
	}
	sig, ok := p.(*packet.Signature)
	if !ok {
		return "", fmt.Errorf("rpm: signature: %w: it is another kind of packet", ErrDamaged)
	}
	id, err := k.check(content, raw, sig.CreationTime)
	if err != nil {
		return "", fmt.Errorf("rpm: signature: %w", err)
	}
	return id, nil
}
