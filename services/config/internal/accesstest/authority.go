// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package accesstest makes certificates and users for tests.
package accesstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority returns an authority of its own.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t}
	template := template("authority", time.Now().Add(time.Hour))
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	pair := a.sign(template)
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func template(name string, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-2 * time.Hour),
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"device"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
}

// sign issues a certificate; without a certificate of its own the authority makes a self-signed one.
func (a *Authority) sign(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Client issues a certificate for a user, valid until then.
func (a *Authority) Client(name string, until time.Time) tls.Certificate {
	return a.sign(template(name, until))
}

// Pool trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// SelfSigned is a certificate for a user that nobody else signed.
func SelfSigned(t testing.TB, name string, until time.Time) tls.Certificate {
	return (&Authority{t: t}).sign(template(name, until))
}

// Install writes server.crt, server.key and ca.crt.
func (a *Authority) Install(dir string) {
	a.t.Helper()
	a.Write(dir, "server", a.Client("device", time.Now().Add(time.Hour)))
	a.write(filepath.Join(dir, "ca.crt"), "CERTIFICATE", a.cert.Raw)
}

// Write writes a certificate and its key as <name>.crt and <name>.key.
func (a *Authority) Write(dir, name string, pair tls.Certificate) {
	a.t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(filepath.Join(dir, name+".crt"), "CERTIFICATE", pair.Certificate[0])
	a.write(filepath.Join(dir, name+".key"), "PRIVATE KEY", key)
}

func (a *Authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}
