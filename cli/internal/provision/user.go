// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// The cost of a hash (RFC 9106, section 4, the second recommendation with less memory: the device verifies
// passwords beside forwarding packets).
const (
	hashMemoryKiB = 19 * 1024
	hashTime      = 2
	hashThreads   = 1
	saltBytes     = 16
	keyBytes      = 32
)

// operatorRole may read and change everything.
const operatorRole = "operator"

func usersFile(name, password string) ([]byte, error) {
	hash, err := hashPassword(password)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent([]map[string]string{{"name": name, "password_hash": hash, "role": operatorRole}}, "", "  ")
	return append(b, '\n'), err
}

// hashPassword returns the argon2id hash in PHC string form.
func hashPassword(password string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	key := argon2.IDKey([]byte(password), salt, hashTime, hashMemoryKiB, hashThreads, keyBytes)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemoryKiB, hashTime, hashThreads,
		enc.EncodeToString(salt), enc.EncodeToString(key)), nil
}
