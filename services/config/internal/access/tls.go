// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// TLSFiles is the directory that holds server.crt, server.key and ca.crt (PEM). The files are read again
// when they change, so that a renewed certificate needs no restart. While one is missing or damaged every
// handshake fails and the log says why: there is no fallback to plaintext.
type TLSFiles struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	stamps [3]fileStamp
	config *tls.Config
	err    error
	told   string
}

// NewTLSFiles returns the files of a directory, which need not exist yet.
func NewTLSFiles(dir string, log *slog.Logger) *TLSFiles {
	return &TLSFiles{dir: dir, log: log}
}

// ServerConfig returns the configuration of a TLS 1.3 server that accepts clients without a certificate
// (they must send a password) and verifies the certificate of those that have one.
func (f *TLSFiles) ServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			config, err := f.current()
			if err != nil {
				return nil, err
			}
			return config, nil
		},
	}
}

// Err says why no handshake can succeed, or nil.
func (f *TLSFiles) Err() error {
	_, err := f.current()
	return err
}

func (f *TLSFiles) current() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var stamps [3]fileStamp
	for i, name := range []string{"server.crt", "server.key", "ca.crt"} {
		stamp, err := stampOf(filepath.Join(f.dir, name))
		if err != nil {
			f.config = nil
			return nil, f.tell(err)
		}
		stamps[i] = stamp
	}
	if stamps != f.stamps || f.config == nil && f.err == nil {
		f.stamps = stamps
		f.config, f.err = f.load()
	}
	if f.err != nil {
		return nil, f.tell(f.err)
	}
	f.told = ""
	return f.config, nil
}

// tell logs each new reason once: a scanner on the port must not fill the log.
func (f *TLSFiles) tell(err error) error {
	err = fmt.Errorf("gNMI over TCP is closed: %w", err)
	if f.told != err.Error() {
		f.told = err.Error()
		f.log.Error("no TLS, connections are refused", "error", err)
	}
	return err
}

func (f *TLSFiles) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(f.dir, "server.crt"), filepath.Join(f.dir, "server.key"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(f.dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(f.dir, "ca.crt"))
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
		Certificates: []tls.Certificate{pair},
		ClientCAs:    pool,
		ClientAuth:   tls.VerifyClientCertIfGiven,
		// A ticket would let a client back in after its certificate's authority was replaced.
		SessionTicketsDisabled: true,
	}, nil
}
