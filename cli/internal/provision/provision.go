// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package provision makes what a device needs before its first start: an authority, certificates, the first
// user and the list of interfaces. It writes below the state directory and nowhere else, each file in
// one step, the list of interfaces last, so that a device with an init.json is a whole one.
package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// Request is what to set up.
type Request struct {
	Layout layout.Layout
	// User is the first user, an operator; Password is theirs.
	User, Password string
	// Addresses are IP addresses and DNS names by which the device is reached, besides the host name and localhost.
	Addresses []string
	Hostname  string
	// Management interfaces are never touched; Ports may be configured.
	Management, Ports []string
	// GNMI is the IP address and port that gNMI listens on for the network; empty leaves it local.
	GNMI string
	// Replace overwrites what an earlier run made.
	Replace bool
	Now     time.Time
}

// Result is what was made.
type Result struct {
	Files       []string  `json:"files"`
	Authority   string    `json:"authority_sha256"`
	Addresses   []string  `json:"addresses"`
	User        string    `json:"user"`
	Management  []string  `json:"management"`
	Ports       []string  `json:"ports"`
	ValidUntil  time.Time `json:"valid_until"`
	Certificate string    `json:"client_certificate"`
}

// ErrExists is in the chain when an earlier run's files are there and Replace is not set.
var ErrExists = errors.New("the device was set up before")

// file is one file to write. Keys and hashes are for root and, where the supervisor hands the directory over,
// the component.
type file struct {
	path string
	mode fs.FileMode
	data []byte
}

// Run writes everything, or nothing when files are there already.
func Run(r Request) (Result, error) {
	authority, issued, err := issue(r)
	if err != nil {
		return Result{}, err
	}
	files, err := contents(r, issued)
	if err != nil {
		return Result{}, err
	}
	if !r.Replace {
		for _, f := range files {
			if _, err := os.Lstat(f.path); err == nil {
				return Result{}, fmt.Errorf("%w: %s exists", ErrExists, f.path)
			}
		}
	}
	if err := directories(r.Layout); err != nil {
		return Result{}, err
	}
	out := Result{
		Authority: authority.fingerprint(), Addresses: r.names(), User: r.User,
		Management: r.Management, Ports: r.Ports, ValidUntil: r.Now.Add(leafLife).UTC().Truncate(time.Second),
		Certificate: clientFile(r.Layout, "client.crt"),
	}
	for _, f := range files {
		if err := write(f); err != nil {
			return out, err
		}
		out.Files = append(out.Files, f.path)
	}
	return out, nil
}

func listen(gnmi string) map[string]string {
	if gnmi == "" {
		return nil
	}
	return map[string]string{"gnmi": gnmi}
}

func clientFile(l layout.Layout, name string) string { return filepath.Join(l.StateDir(), "pki", name) }

func configFile(l layout.Layout, name string) string {
	return filepath.Join(l.ComponentState("config"), name)
}

func contents(r Request, i issued) ([]file, error) {
	users, err := usersFile(r.User, r.Password)
	if err != nil {
		return nil, err
	}
	interfaces, err := json.MarshalIndent(struct {
		Management []string `json:"management"`
		Ports      []string `json:"ports"`
		// Listen says where TCP sockets listen, by their name in the component's manifest.
		Listen map[string]string `json:"listen,omitempty"`
	}{notNil(r.Management), notNil(r.Ports), listen(r.GNMI)}, "", "  ")
	if err != nil {
		return nil, err
	}
	return []file{
		{clientFile(r.Layout, "ca.key"), 0o600, i.authorityKey},
		{clientFile(r.Layout, "ca.crt"), 0o644, i.authority},
		{clientFile(r.Layout, "client.key"), 0o600, i.clientKey},
		{clientFile(r.Layout, "client.crt"), 0o644, i.client},
		{configFile(r.Layout, "tls/server.key"), 0o600, i.serverKey},
		{configFile(r.Layout, "tls/server.crt"), 0o644, i.server},
		{configFile(r.Layout, "tls/ca.crt"), 0o644, i.authority},
		{configFile(r.Layout, "users.json"), 0o600, users},
		{r.Layout.Init(), 0o644, append(interfaces, '\n')},
	}, nil
}

func notNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func directories(l layout.Layout) error {
	for _, d := range []struct {
		path string
		mode fs.FileMode
	}{
		{l.StateDir(), 0o755},
		{filepath.Join(l.StateDir(), "pki"), 0o755},
		{l.ComponentState("config"), 0o700},
		{configFile(l, "tls"), 0o700},
	} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return err
		}
	}
	return nil
}

// write replaces a file in one step, on disk before it has its name.
func write(f file) error {
	tmp, err := os.CreateTemp(filepath.Dir(f.path), "."+filepath.Base(f.path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(f.data)
	if e := tmp.Chmod(f.mode); err == nil {
		err = e
	}
	if e := tmp.Sync(); err == nil {
		err = e
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return syncDir(filepath.Dir(f.path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
