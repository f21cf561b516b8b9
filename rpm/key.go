// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Key signs packages and evidence. It is an OpenPGP key (RFC 4880, version 4) for RSA with 3072 bits, which every
// rpm command of the last twenty years can check.
type Key struct {
	name   string
	entity *openpgp.Entity
}

var keyNameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// NewKey makes a key that does not expire and writes <dir>/<name>.key (secret, mode 0600, not encrypted) and
// <dir>/<name>.asc (public). It refuses to replace one.
func NewKey(dir, name string) (*Key, error) { return NewKeyFor(dir, name, 0) }

// NewKeyFor makes a key that is valid for a time from now; zero means for ever.
func NewKeyFor(dir, name string, valid time.Duration) (*Key, error) {
	if !keyNameForm.MatchString(name) {
		return nil, fmt.Errorf("rpm: key name %q: want lower-case letters, digits and \"-\", at most 31", name)
	}
	k, err := generate(name, valid)
	if err != nil {
		return nil, fmt.Errorf("rpm: key %s: %w", name, err)
	}
	secret, err := armored(openpgp.PrivateKeyType, func(w *bytes.Buffer) error {
		return k.entity.SerializePrivateWithoutSigning(w, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("rpm: key %s: %w", name, err)
	}
	public, err := k.Public()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("rpm: %w", err)
	}
	if err := create(filepath.Join(dir, name+".key"), secret, 0o600); err != nil {
		return nil, err
	}
	return k, create(filepath.Join(dir, name+".asc"), public, 0o644)
}

func create(file string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("rpm: %w", err)
	}
	_, err = f.Write(content)
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("rpm: %w", err)
	}
	return nil
}

func generate(name string, valid time.Duration) (*Key, error) {
	c := signing()
	c.RSABits = 3072
	c.KeyLifetimeSecs = uint32(valid / time.Second)
	e, err := openpgp.NewEntity(name, "Ashlar packages", "", c)
	if err != nil {
		return nil, err
	}
	e.Subkeys = nil // one for encryption, which nothing here uses
	return &Key{name: name, entity: e}, nil
}

// signing says how signatures are made: as old rpm commands read them.
func signing() *packet.Config {
	return &packet.Config{
		Algorithm:                             packet.PubKeyAlgoRSA,
		NonDeterministicSignaturesViaNotation: packet.BoolPointer(false),
	}
}

// LoadKey reads the one secret key (*.key) of a directory. When there is none, the error is os.ErrNotExist.
func LoadKey(dir string) (*Key, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.key"))
	if err != nil {
		return nil, fmt.Errorf("rpm: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("rpm: %s holds no secret key (*.key): %w", dir, os.ErrNotExist)
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("rpm: %s holds %d secret keys (*.key), want one", dir, len(files))
	}
	f, err := os.Open(files[0])
	if err != nil {
		return nil, fmt.Errorf("rpm: %w", err)
	}
	defer f.Close()
	es, err := openpgp.ReadArmoredKeyRing(f)
	if err != nil {
		return nil, fmt.Errorf("rpm: %s: %w", files[0], err)
	}
	if len(es) != 1 || es[0].PrivateKey == nil || es[0].PrivateKey.Encrypted {
		return nil, fmt.Errorf("rpm: %s: want one secret key that is not encrypted", files[0])
	}
	name := filepath.Base(files[0])
	return &Key{name: name[:len(name)-len(".key")], entity: es[0]}, nil
}

// Name is the one it was made with.
func (k *Key) Name() string { return k.name }

// ID is the key's id, 16 lower-case hex digits.
func (k *Key) ID() string { return keyID(k.entity.PrimaryKey.KeyId) }

func keyID(id uint64) string { return fmt.Sprintf("%016x", id) }

// Public returns the armoured public key, as `rpm --import` takes it.
func (k *Key) Public() ([]byte, error) {
	b, err := armored(openpgp.PublicKeyType, func(w *bytes.Buffer) error { return k.entity.Serialize(w) })
	if err != nil {
		return nil, fmt.Errorf("rpm: key %s: %w", k.name, err)
	}
	return b, nil
}

// Keyring trusts this key alone, for everything.
func (k *Key) Keyring() Keyring { return Keyring{entities: openpgp.EntityList{k.entity}} }

// sign makes a binary signature packet.
func (k *Key) sign(message []byte) ([]byte, error) {
	var b bytes.Buffer
	err := openpgp.DetachSign(&b, k.entity, bytes.NewReader(message), signing())
	return b.Bytes(), err
}

// SignDetached returns an armoured signature of a file's content, for example of contract-test evidence.
func (k *Key) SignDetached(content []byte) ([]byte, error) {
	packet, err := k.sign(content)
	if err != nil {
		return nil, fmt.Errorf("rpm: key %s: %w", k.name, err)
	}
	return armored(openpgp.SignatureType, func(w *bytes.Buffer) error {
		_, err := w.Write(packet)
		return err
	})
}

func armored(kind string, fill func(*bytes.Buffer) error) ([]byte, error) {
	var plain, out bytes.Buffer
	if err := fill(&plain); err != nil {
		return nil, err
	}
	w, err := armor.Encode(&out, kind, nil)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain.Bytes()); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return append(out.Bytes(), '\n'), nil
}
