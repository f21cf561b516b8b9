// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package evidence keeps the results of contract tests as signed documents in a directory. A result is known by the
// contract file's hash and the provider's package digest: while neither changes, nothing is tested again.
package evidence

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"
)

// What documents of this form say of themselves.
const (
	Type    = "ashlar-evidence/1"
	Suite   = "1"
	Profile = "lab"
	Passed  = "passed"
	Failed  = "failed"
)

// Document is one result.
type Document struct {
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
}

// Key is what a result is of.
type Key struct{ ContractHash, ProviderDigest string }

// Directory is a place for documents.
type Directory struct {
	path string
	have map[Key]Document
}

// Open reads what is there. Documents whose signature is not the key's are passed over: they will be made again.
func Open(path string, keyring rpm.Keyring) (*Directory, error) {
	d := &Directory{path: path, have: map[Key]Document{}}
	files, err := filepath.Glob(filepath.Join(path, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		content, _, err := rpm.VerifyFile(file, keyring)
		if err != nil {
			continue
		}
		var doc Document
		if err := json.Unmarshal(content, &doc); err != nil || doc.Type != Type || doc.Suite != Suite {
			continue
		}
		d.have[Key{doc.ContractHash, doc.ProviderDigest}] = doc
	}
	return d, nil
}

// Has returns a result that is known.
func (d *Directory) Has(k Key) (Document, bool) {
	doc, ok := d.have[k]
	return doc, ok
}

// Add signs a document and writes it.
func (d *Directory) Add(doc Document, key *rpm.Key) error {
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	signature, err := key.SignDetached(text)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return err
	}
	file := filepath.Join(d.path, fmt.Sprintf("%s--%s--%s-%.12s-%.8s.json", doc.Consumer, doc.Contract, doc.Provider, doc.ProviderDigest, doc.ContractHash))
	// The signature first: a document without one is of no use.
	if err := os.WriteFile(file+".asc", signature, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	d.have[Key{doc.ContractHash, doc.ProviderDigest}] = doc
	return nil
}
