// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

func request(t *testing.T) Request {
	t.Helper()
	root, err := os.MkdirTemp("", "prov")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	l, err := layout.New(root)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Layout: l, User: "alice", Password: "correct horse", Hostname: "leaf1", Addresses: []string{"192.0.2.7", "leaf1", "leaf1.example.net"},
		Ports: []string{"ge0"}, Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func certificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		t.Fatalf("%s is not one PEM block", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCertificatesVerify(t *testing.T) {
	r := request(t)
	made, err := Run(r)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, clientFile(r.Layout, "ca.crt")))
	server := certificate(t, configFile(r.Layout, "tls/server.crt"))
	client := certificate(t, clientFile(r.Layout, "client.crt"))
	for _, c := range []struct {
		desc  string
		leaf  *x509.Certificate
		name  string
		usage x509.ExtKeyUsage
		at    time.Time
		ok    bool
	}{
		{"server by address", server, "192.0.2.7", x509.ExtKeyUsageServerAuth, r.Now, true},
		{"server by loopback", server, "::1", x509.ExtKeyUsageServerAuth, r.Now, true},
		{"server by name", server, "leaf1.example.net", x509.ExtKeyUsageServerAuth, r.Now.AddDate(1, 11, 0), true},
		{"server under another name", server, "leaf2", x509.ExtKeyUsageServerAuth, r.Now, false},
		{"server as a client", server, "", x509.ExtKeyUsageClientAuth, r.Now, false},
		{"server expired", server, "leaf1", x509.ExtKeyUsageServerAuth, r.Now.AddDate(2, 1, 0), false},
		{"client", client, "", x509.ExtKeyUsageClientAuth, r.Now, true},
		{"client of a peer whose clock is behind", client, "", x509.ExtKeyUsageClientAuth, r.Now.Add(-30 * time.Minute), true},
		{"client as a server", client, "", x509.ExtKeyUsageServerAuth, r.Now, false},
	} {
		_, err := c.leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: c.name, KeyUsages: []x509.ExtKeyUsage{c.usage}, CurrentTime: c.at})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.desc, err, c.ok)
		}
	}
	if client.Subject.CommonName != r.User {
		t.Errorf("the client certificate is %q's", client.Subject.CommonName)
	}
	if want := []string{"leaf1", "localhost", "127.0.0.1", "::1", "192.0.2.7", "leaf1.example.net"}; !slices.Equal(made.Addresses, want) {
		t.Errorf("addresses %v, want %v", made.Addresses, want)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	r := request(t)
	if _, err := Run(r); err != nil {
		t.Fatal(err)
	}
	before := certificate(t, clientFile(r.Layout, "ca.crt"))
	if _, err := Run(r); !errors.Is(err, ErrExists) {
		t.Fatalf("a second run: %v, want ErrExists", err)
	}
	if !before.Equal(certificate(t, clientFile(r.Layout, "ca.crt"))) {
		t.Error("a refused run replaced the authority")
	}
	r.Replace = true
	if _, err := Run(r); err != nil {
		t.Fatal(err)
	}
	if before.Equal(certificate(t, clientFile(r.Layout, "ca.crt"))) {
		t.Error("the authority was not replaced")
	}
}

func TestNoTraceOfTemporaryFiles(t *testing.T) {
	r := request(t)
	made, err := Run(r)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	err = filepath.WalkDir(r.Layout.StateDir(), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(made.Files))
	slices.Sort(found)
	if !slices.Equal(found, want) {
		t.Errorf("files %v, want %v", found, want)
	}
}

func TestCheckLink(t *testing.T) {
	for name, ok := range map[string]bool{"ge0": true, "enp3s0f1np1": true, "": false, "a/b": false, "..": false, "a b": false, "sixteen-bytes-xx": false} {
		if err := CheckLink(name); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", name, err, ok)
		}
	}
}
