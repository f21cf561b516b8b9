// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package roster says who is on the device: which component has which user id, where it listens, what it
// provides and requires. The supervisor writes the file; everyone else reads it.
//
// It is the ground of authorisation: a component may call a contract only if its manifest requires it.
package roster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Roster is the list of components of the running generation.
type Roster struct {
	Components []Component `json:"components"`
}

// Component is one member.
type Component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	UID     uint32 `json:"uid"`
	// Endpoint is the path of the unix socket that serves its contracts.
	Endpoint string                 `json:"endpoint"`
	Provides []manifest.Provision   `json:"provides,omitempty"`
	Requires []manifest.Requirement `json:"requires,omitempty"`
}

// common are contracts that every component serves: which one is meant depends on whom one asks.
var common = map[string]bool{"ashlar.lifecycle.v1": true, "ashlar.telemetry.v1": true}

// Shared reports whether a contract is one that every component serves.
func Shared(contract string) bool { return common[contract] }

// Load reads a roster.
func Load(file string) (Roster, error) {
	var r Roster
	b, err := os.ReadFile(file)
	if err != nil {
		return r, fmt.Errorf("roster: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("roster %s: %w", file, err)
	}
	return r, nil
}

// Write replaces the file in one step. Everyone may read it.
func Write(file string, r Roster) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".roster-*")
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if e := tmp.Chmod(0o644); err == nil {
		err = e
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("roster %s: %w", file, err)
	}
	return nil
}

// Provider returns the one component that provides a contract. Contracts that every component serves
// have no single provider.
func (r Roster) Provider(contract string) (Component, bool) {
	if common[contract] {
		return Component{}, false
	}
	for _, c := range r.Components {
		if c.provides(contract) {
			return c, true
		}
	}
	return Component{}, false
}

// Providers returns every component that provides a contract.
func (r Roster) Providers(contract string) []Component {
	var out []Component
	for _, c := range r.Components {
		if c.provides(contract) {
			out = append(out, c)
		}
	}
	return out
}

// ByUID returns the component that runs as a user id.
func (r Roster) ByUID(uid uint32) (Component, bool) {
	for _, c := range r.Components {
		if c.UID == uid {
			return c, true
		}
	}
	return Component{}, false
}

// ByName returns a component.
func (r Roster) ByName(name string) (Component, bool) {
	for _, c := range r.Components {
		if c.Name == name {
			return c, true
		}
	}
	return Component{}, false
}

// MayCall reports whether the user id belongs to a component whose manifest requires the contract.
func (r Roster) MayCall(uid uint32, contract string) bool {
	c, ok := r.ByUID(uid)
	if !ok {
		return false
	}
	for _, q := range c.Requires {
		if q.Contract == contract {
			return true
		}
	}
	return false
}

func (c Component) provides(contract string) bool {
	for _, p := range c.Provides {
		if p.Contract == contract {
			return true
		}
	}
	return false
}
