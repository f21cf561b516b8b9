// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
)

// quickly reconnects without long pauses: an operator waits.
func quickly() grpc.ConnectParams {
	return grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 250 * time.Millisecond},
		MinConnectTimeout: 3 * time.Second,
	}
}

func (d *Device) dialRemote() (*grpc.ClientConn, error) {
	config, err := d.options.tlsConfig()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}
	if d.options.User != "" {
		options = append(options, grpc.WithPerRPCCredentials(password{d.options.User, d.options.Password}))
	}
	return d.connect("dns:///"+d.options.Target, options...)
}

// tlsConfig is TLS 1.3 and nothing less. There is no way around verifying the server.
func (o Options) tlsConfig() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(o.Target)
	if err != nil {
		return nil, fail.Usagef("--target %q: want host:port", o.Target)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fail.Usagef("--ca: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fail.Usagef("--ca: %s holds no certificate in PEM form", o.CA)
		}
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, fail.Usagef("--cert and --key belong together")
	}
	if o.Cert != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, fail.Usagef("--cert, --key: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// password sends user and password as gNMI's metadata has them.
type password struct{ user, password string }

func (p password) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"username": p.user, "password": p.password}, nil
}

// RequireTransportSecurity keeps passwords off plain connections.
func (p password) RequireTransportSecurity() bool { return true }
