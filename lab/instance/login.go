// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package instance

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"

	"github.com/ashlar-nos/ashlar/lab/calls"
	"google.golang.org/grpc/credentials"
)

// Login is the first user's, by client certificate.
func (l *Lab) Login() (*calls.Login, error) {
	pki := filepath.Join(l.Device.Layout.StateDir(), "pki")
	authority, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, errors.New("the device's CA file holds no certificate")
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(pki, "client.crt"), filepath.Join(pki, "client.key"))
	if err != nil {
		return nil, err
	}
	return &calls.Login{Credentials: credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, Certificates: []tls.Certificate{pair},
	})}, nil
}
