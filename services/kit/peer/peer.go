// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package peer tells who is at the other end of a unix socket (SO_PEERCRED, unix(7)) and whether it may
// call: by default nobody; the operator (root) everything; a component the contracts that its manifest requires.
// All types are safe for concurrent use.
package peer

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Identity is the process at the other end as the kernel knew it when it connected.
type Identity struct {
	UID, GID uint32
	PID      int32
}

// Operator reports whether the caller is root.
func (i Identity) Operator() bool { return i.UID == 0 }

func (i Identity) String() string { return fmt.Sprintf("uid %d, pid %d", i.UID, i.PID) }

// AuthInfo carries the identity through gRPC.
type AuthInfo struct {
	credentials.CommonAuthInfo
	Identity Identity
}

// AuthType names the mechanism.
func (AuthInfo) AuthType() string { return "so_peercred" }

// FromContext returns who called. ok is false when the call did not come over a socket with Credentials.
func FromContext(ctx context.Context) (id Identity, ok bool) {
	p, found := peer.FromContext(ctx)
	if !found {
		return Identity{}, false
	}
	info, ok := p.AuthInfo.(AuthInfo)
	return info.Identity, ok
}

// Of reads the identity from a connected unix socket.
func Of(c net.Conn) (Identity, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Identity{}, errors.New("peer: not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Identity{}, fmt.Errorf("peer: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Identity{}, fmt.Errorf("peer: %w", err)
	}
	if credErr != nil {
		return Identity{}, fmt.Errorf("peer: %w", credErr)
	}
	return Identity{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}, nil
}

// Credentials are server-side transport credentials that read the identity of each connection.
func Credentials() credentials.TransportCredentials { return transport{} }

type transport struct{}

func (transport) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	id, err := Of(c)
	if err != nil {
		return nil, nil, err
	}
	return c, AuthInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		Identity:       id,
	}, nil
}

func (transport) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("peer: credentials are for servers")
}

func (transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}

func (t transport) Clone() credentials.TransportCredentials { return t }

func (transport) OverrideServerName(string) error { return nil }
