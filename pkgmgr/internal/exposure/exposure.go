// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package exposure places the TCP sockets of components where the operator wants them. A manifest says where a socket
// listens by default; `ashlar init` writes what differs on this device.
//
// It reads one file and changes manifests in memory; it is called before their components run.
package exposure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
)

// Place gives each TCP socket of the components the address that the file has for its name. A file that is not there, or
// has none, changes nothing. A file that does not parse, or an address that is none, is an error: a socket must
// not be open to others than the operator said.
func Place(file string, components ...generation.Component) error {
	addresses, err := read(file)
	if err != nil {
		return err
	}
	for _, c := range components {
		sockets := c.Manifest.Sockets
		for j := range sockets {
			if address, ok := addresses[sockets[j].Name]; ok && sockets[j].TCP != "" {
				sockets[j].TCP = address
			}
		}
	}
	return nil
}

func read(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("where to listen: %w", err)
	}
	var content struct {
		Listen map[string]string `json:"listen"`
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("where to listen: %s does not parse: %w: mend it or run `ashlar init --replace`", file, err)
	}
	for name, address := range content.Listen {
		if _, err := netip.ParseAddrPort(address); err != nil {
			return nil, fmt.Errorf("where to listen: %s gives %q for socket %q: want an IP address and a port, such as 192.0.2.7:9339", file, address, name)
		}
	}
	return content.Listen, nil
}
