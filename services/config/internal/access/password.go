// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a new hash (RFC 9106 section 4, second recommendation, with less memory: a router has
// better uses for 64 MiB than a login).
const (
	hashMemory  = 19 * 1024 // KiB
	hashTime    = 2
	hashThreads = 1
	hashSalt    = 16 // bytes
	hashKey     = 32 // bytes
)

// The dearest hash that is verified: a users' file must not be able to exhaust the device.
const (
	maxMemory  = 256 * 1024 // KiB
	maxTime    = 16
	maxThreads = 8
)

var errHash = errors.New("no argon2id hash in PHC form")

// HashPassword returns the argon2id hash of a password in the PHC string form
// ("$argon2id$v=19$m=…,t=…,p=…$salt$hash", RFC 9106, unpadded base64).
func HashPassword(password string) (string, error) {
	salt := make([]byte, hashSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("password salt: %w", err)
	}
	key := argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashThreads, hashKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime,
		hashThreads, b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// hash is a parsed PHC string.
type hash struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

// parseHash reads a PHC string and refuses costs beyond the limits.
func parseHash(phc string) (hash, error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return hash{}, errHash
	}
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return hash{}, fmt.Errorf("%w: version %q", errHash, parts[2])
	}
	var h hash
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return hash{}, fmt.Errorf("%w: parameters %q", errHash, parts[3])
	}
	if h.memory < 8 || h.memory > maxMemory || h.time < 1 || h.time > maxTime || h.threads < 1 || h.threads > maxThreads {
		return hash{}, fmt.Errorf("%w: parameters %q out of range", errHash, parts[3])
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return hash{}, fmt.Errorf("%w: salt: %w", errHash, err)
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return hash{}, fmt.Errorf("%w: key: %w", errHash, err)
	}
	if len(h.salt) < 8 || len(h.key) < 16 || len(h.key) > 128 {
		return hash{}, fmt.Errorf("%w: salt or key of a wrong length", errHash)
	}
	return h, nil
}

// matches compares in constant time.
func (h hash) matches(password string) bool {
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}
