// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/rpm"
)

// result is a document of evidence: a consumer's contract file (by its SHA-256, contract_hash) was held against a provider's
// package (by its digest).
type result struct {
	Type            string   `json:"type"`
	Consumer        string   `json:"consumer"`
	Contract        string   `json:"contract"`
	ContractHash    string   `json:"contract_hash"`
	Provider        string   `json:"provider"`
	ProviderVersion string   `json:"provider_version"`
	ProviderDigest  string   `json:"provider_digest"`
	Suite           string   `json:"suite"`
	Profile         string   `json:"profile"`
	Result          string   `json:"result"`
	Interactions    int      `json:"interactions"`
	Failures        []string `json:"failures"`
	Time            string   `json:"time"`
}

const evidenceType = "ashlar-evidence/1"

// evidence writes the results that the package's kind has, signed, and returns the files.
func (m Maker) evidence(made *Package, p *rpm.Package, dir string) ([]string, error) {
	out := filepath.Join(dir, "evidence")
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o755)); err != nil || made.Kind == NoEvidence {
		return nil, err
	}
	key, err := loadOrMakeKey(m.Keys, "ashlar")
	if err != nil {
		return nil, err
	}
	results, err := m.results(p)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, r := range results {
		r.ProviderVersion, r.ProviderDigest, r.Time = p.Version, p.Digest, time.Unix(buildTime, 0).UTC().Format(time.RFC3339)
		r.Result, r.Failures = "passed", []string{}
		if made.Kind == FailedEvidence {
			r.Result, r.Failures = "failed", []string{"an answer was other than " + r.Contract + " promises"}
		}
		file := filepath.Join(out, fmt.Sprintf("%s-%s-%s--%s-%.12s.json", p.Component, p.Version, r.Consumer, r.Contract, r.ContractHash))
		if err := writeSigned(file, r, key); err != nil {
			return nil, err
		}
		files = append(files, file, file+".asc")
	}
	return files, nil
}

func writeSigned(file string, r result, key *rpm.Key) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return rpm.SignFile(file, key)
}

// results returns one result for each contract file that the package could be held against: those that the real package was
// held against, and those of the tree.
func (m Maker) results(p *rpm.Package) ([]result, error) {
	known, err := m.known(p)
	if err != nil {
		return nil, err
	}
	for _, provided := range p.Manifest.Provides {
		suffix := "--" + provided.Contract + ".yaml"
		files, err := filepath.Glob(filepath.Join(m.Root, "compat-tests", "contracts", "*"+suffix))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(text)
			known = append(known, result{Type: evidenceType, Consumer: strings.TrimSuffix(filepath.Base(file), suffix), Contract: provided.Contract,
				ContractHash: hex.EncodeToString(sum[:]), Provider: p.Component, Suite: "1", Profile: "lab", Interactions: 1})
		}
	}
	var out []result
	for _, r := range known {
		if !slices.ContainsFunc(out, func(o result) bool {
			return o.Consumer == r.Consumer && o.Contract == r.Contract && o.ContractHash == r.ContractHash
		}) {
			out = append(out, r)
		}
	}
	return out, nil
}

// known returns what the repository has of the component's other versions.
func (m Maker) known(p *rpm.Package) ([]result, error) {
	files, err := filepath.Glob(filepath.Join(m.Repository, "evidence", "*.json"))
	if err != nil {
		return nil, err
	}
	var out []result
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r result
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if _, provides := p.Manifest.Level(r.Contract); r.Type == evidenceType && r.Provider == p.Component && provides {
			out = append(out, r)
		}
	}
	return out, nil
}
