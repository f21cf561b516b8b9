// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	// authorityLife and leafLife are how long certificates are valid. Devices are forgotten in cabinets: leaves
	// last two years and are made again with init --replace.
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 2 * 365 * 24 * time.Hour
	// backdate lets peers whose clocks are behind accept a new certificate.
	backdate = time.Hour
	// serialBits is the size of serial numbers (RFC 5280, section 4.1.2.2 allows 159).
	serialBits = 127
)

// issued holds PEM files.
type issued struct {
	authority, authorityKey, server, serverKey, client, clientKey []byte
}

// signer is a certificate and its key.
type signer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// fingerprint is the SHA-256 of the certificate's DER form.
func (s *signer) fingerprint() string {
	sum := sha256.Sum256(s.certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// names are the subject alternative names of the server, without repetition.
func (r Request) names() []string {
	all := append([]string{r.Hostname, "localhost", "127.0.0.1", "::1"}, r.Addresses...)
	var out []string
	for _, n := range all {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func issue(r Request) (*signer, issued, error) {
	authority, err := newSigner(nil, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Ashlar device authority", Organization: []string{r.Hostname}},
		NotBefore:             r.Now.Add(-backdate),
		NotAfter:              r.Now.Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	if err != nil {
		return nil, issued{}, err
	}
	server := r.leaf(r.Hostname, x509.ExtKeyUsageServerAuth)
	for _, n := range r.names() {
		if ip := net.ParseIP(n); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, n)
		}
	}
	s, err := newSigner(authority, server)
	if err != nil {
		return nil, issued{}, err
	}
	c, err := newSigner(authority, r.leaf(r.User, x509.ExtKeyUsageClientAuth))
	if err != nil {
		return nil, issued{}, err
	}
	var out issued
	for _, p := range []struct {
		from     *signer
		crt, key *[]byte
	}{{authority, &out.authority, &out.authorityKey}, {s, &out.server, &out.serverKey}, {c, &out.client, &out.clientKey}} {
		if *p.crt, *p.key, err = p.from.pem(); err != nil {
			return nil, issued{}, err
		}
	}
	return authority, out, nil
}

func (r Request) leaf(name string, usage x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   r.Now.Add(-backdate),
		NotAfter:    r.Now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
}

// newSigner makes a P-256 key and a certificate for it, signed by the parent or, without one, by itself.
func newSigner(parent *signer, template *x509.Certificate) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits)); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	by := parent
	if by == nil {
		by = &signer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, &key.PublicKey, by.key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %q: %w", template.Subject.CommonName, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %q: %w", template.Subject.CommonName, err)
	}
	return &signer{certificate, key}, nil
}

func (s *signer) pem() (certificate, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
