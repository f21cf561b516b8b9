// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Clients wait for their provider by default: with the supervisor holding the sockets, a provider that is
// being replaced is a short wait, not an error. Calls therefore need a deadline.
const clientConfig = `{"methodConfig": [{"name": [{}], "waitForReady": true}]}`

// Dial returns the client connection to the one provider of a contract on this device. It does not block;
// the connection comes and goes with the provider, is shared by all callers and closed by the kit.
func (rt *Runtime) Dial(contract string) (*grpc.ClientConn, error) {
	if c, ok := rt.clients.Load(contract); ok {
		return c.(*grpc.ClientConn), nil
	}
	r, err := rt.Roster()
	if err != nil {
		return nil, err
	}
	provider, ok := r.Provider(contract)
	if !ok {
		return nil, fmt.Errorf("nobody on this device provides %s", contract)
	}
	conn, err := rt.DialEndpoint(provider.Endpoint)
	if err != nil {
		return nil, err
	}
	if first, loaded := rt.clients.LoadOrStore(contract, conn); loaded {
		conn.Close()
		return first.(*grpc.ClientConn), nil
	}
	return conn, nil
}

// DialEndpoint returns a new connection to a component's unix socket, for contracts that more than one
// component provides. The caller closes it.
func (rt *Runtime) DialEndpoint(socket string) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(clientConfig),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 250 * time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithChainUnaryInterceptor(rt.rpc.client.UnaryClientInterceptor()),
		grpc.WithChainStreamInterceptor(rt.rpc.client.StreamClientInterceptor()),
	}
	conn, err := grpc.NewClient("unix://"+socket, append(options, clientTraces()...)...)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", socket, err)
	}
	return conn, nil
}

func (rt *Runtime) closeClients() {
	rt.clients.Range(func(_, c any) bool {
		c.(*grpc.ClientConn).Close()
		return true
	})
}
