// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package admission judges a wanted configuration before anything is changed: whether interfaces may be
// configured at all, whether their links can take it, and whether subnets collide. It only reads. What a
// single interface's configuration says by itself was judged when it was parsed (package intent).
package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Inventory is what the machine's owner said about its interfaces at initialisation.
type Inventory struct {
	// Management interfaces are never touched.
	Management []string `json:"management"`
	// Ports are the interfaces that may be configured.
	Ports []string `json:"ports"`
}

// LoadInventory reads the file. Without it nothing is a port, since any interface may be the one by which the
// device is managed; the error says what to do.
func LoadInventory(file string) (Inventory, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Inventory{}, fmt.Errorf("no interface is a port before there is a list of them in %s: run `ashlar init`", file)
	}
	if err != nil {
		return Inventory{}, fmt.Errorf("the list of ports cannot be read: %w", err)
	}
	var i Inventory
	if err := json.Unmarshal(b, &i); err != nil {
		return Inventory{}, fmt.Errorf("the list of ports is damaged: %s: %w; mend it, or run `ashlar init --replace`", file, err)
	}
	return i, nil
}

// forbids says why an interface may not be configured; "" when it may.
func (i Inventory) forbids(name string) string {
	switch {
	case name == "lo":
		return "the loopback interface is not configurable"
	case slices.Contains(i.Management, name):
		return fmt.Sprintf("%s is a management interface; Ashlar never touches it", name)
	case !slices.Contains(i.Ports, name):
		return fmt.Sprintf("%s is not one of this device's ports; `ashlar init` lists them", name)
	}
	return ""
}
