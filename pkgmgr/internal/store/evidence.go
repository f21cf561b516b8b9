// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"
)

// Evidence is the result of one contract-test run: a consumer's contract file, held against a provider's package. The
// store keeps it only when a key that is trusted for the consumer or the provider signed the document.
type Evidence struct {
	Type            string    `json:"type"`
	Consumer        string    `json:"consumer"`
	Contract        string    `json:"contract"`
	ContractHash    string    `json:"contract_hash"`
	Provider        string    `json:"provider"`
	ProviderVersion string    `json:"provider_version"`
	ProviderDigest  string    `json:"provider_digest"`
	Suite           string    `json:"suite"`
	Profile         string    `json:"profile"`
	Result          string    `json:"result"`
	Interactions    int       `json:"interactions"`
	Failures        []string  `json:"failures"`
	Time            time.Time `json:"time"`

	// Signer is the id of the key that signed the document; Digest the document's SHA-256 in hex.
	Signer string `json:"-"`
	Digest string `json:"-"`
}

// The form of evidence that this store reads, and the results that it can tell.
const (
	EvidenceType = "ashlar-evidence/1"
	Passed       = "passed"
	Failed       = "failed"
)

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func (s *Store) document(digest string) string {
	return filepath.Join(s.dir, dirEvidence, digest+".json")
}

// readEvidence takes what the keys vouch for that are trusted now. Whether they had expired is judged by when the
// document was added.
func (s *Store) readEvidence() error {
	files, err := filepath.Glob(filepath.Join(s.dir, dirEvidence, "*.json"))
	if err != nil || len(files) == 0 {
		return err
	}
	keyring, err := s.Keyring()
	if err != nil {
		s.faults = append(s.faults, fmt.Errorf("no evidence is trusted: %w", err))
		return nil
	}
	for _, file := range files {
		content, signer, err := verifyAsAdded(file, keyring)
		var e *Evidence
		if err == nil {
			e, err = parseEvidence(content, signer, keyring)
		}
		if err != nil {
			s.faults = append(s.faults, fmt.Errorf("evidence is left out: %w", err))
			continue
		}
		s.evidence[e.Digest] = e
	}
	return nil
}

func verifyAsAdded(file string, keyring rpm.Keyring) (content []byte, signer string, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, "", err
	}
	return rpm.VerifyFile(file, keyring.At(info.ModTime()))
}
