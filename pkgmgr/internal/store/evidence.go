// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import "time"

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
