// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// setMethod is the one method that changes the device.
const setMethod = "/gnmi.gNMI/Set"

// UIDOf reads the peer's user id from a connection's authentication data; ok is false when the connection
// is no unix socket.
type UIDOf func(info credentials.AuthInfo) (uid uint32, ok bool)

// Gate authenticates and authorises each call of a gRPC server. Install it with Options and Tap.
type Gate struct {
	users *Users
	uidOf UIDOf
	// refused is called with the gRPC code of each refusal.
	refused func(codes.Code)
	// secret keys the digests of passwords that were verified on a connection.
	secret []byte
	log    *slog.Logger
	// tell bounds the lines about refusals: a guesser must not fill the log. untold counts those since the
	// last line.
	tell   rate.Sometimes
	untold atomic.Int64
}

// The first refusals are logged one by one, those that follow at most one in tellEvery.
const (
	tellFirst = 20
	tellEvery = time.Second
	// maxTold is how much of a name that a caller sent is logged, in bytes.
	maxTold = 64
)

// NewGate returns a gate. uidOf serves the unix socket, refused is for metrics; either may be nil.
func NewGate(users *Users, uidOf UIDOf, refused func(codes.Code), log *slog.Logger) (*Gate, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	if uidOf == nil {
		uidOf = func(credentials.AuthInfo) (uint32, bool) { return 0, false }
	}
	if refused == nil {
		refused = func(codes.Code) {}
	}
	return &Gate{
		users: users, uidOf: uidOf, refused: refused, secret: secret, log: log,
		tell: rate.Sometimes{First: tellFirst, Interval: tellEvery},
	}, nil
}

// Options returns what the gate needs of a server beside Tap: a place for each connection to remember in.
func (g *Gate) Options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.StatsHandler(connections{})}
}

// Tap is the server's tap handle: it stands before every call, reflection included, at the call's headers. Who is
// refused gets no message read, however large. Verifying a password there holds up only the connection that sent it,
// once.
func (g *Gate) Tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	return g.admit(ctx, info.FullMethodName)
}

// admit returns the context of an authenticated caller that may call the method, or a gRPC status.
func (g *Gate) admit(ctx context.Context, method string) (context.Context, error) {
	id, err := g.identify(ctx)
	if err == nil && !(id.Role.MayRead() && (method != setMethod || id.Role.MayWrite())) {
		err = fmt.Errorf("%w: user %q with role %q may not call %s", ErrDenied, id.User, id.Role, method)
	}
	if err == nil {
		return WithIdentity(ctx, id), nil
	}
	code := codes.Unavailable
	switch {
	case errors.Is(err, ErrUnauthenticated):
		code = codes.Unauthenticated
	case errors.Is(err, ErrDenied):
		code = codes.PermissionDenied
	}
	g.refused(code)
	g.record(ctx, method, code, err)
	return nil, status.Error(code, err.Error())
}

// record logs who was refused, never with what password.
func (g *Gate) record(ctx context.Context, method string, code codes.Code, err error) {
	count := g.untold.Add(1)
	g.tell.Do(func() {
		g.untold.Add(-count)
		g.log.Warn("a call is refused", "user", claimed(ctx), "peer", address(ctx), "method", method,
			"code", code.String(), "reason", err, "refused since the last line", count)
	})
}

// claimed is who a caller says to be.
func claimed(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if names := md.Get("username"); len(names) > 0 {
		return names[0][:min(len(names[0]), maxTold)]
	}
	if caller, ok := peer.FromContext(ctx); ok {
		if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			return info.State.VerifiedChains[0][0].Subject.CommonName
		}
	}
	return ""
}

// address is where a call comes from.
func address(ctx context.Context) string {
	caller, ok := peer.FromContext(ctx)
	if !ok || caller.Addr == nil {
		return ""
	}
	return caller.Addr.String()
}

// Proven tells whether a connection is somebody's by itself: it has a certificate of the device's authority,
// or the kernel says that it is root's.
func (g *Gate) Proven(info credentials.AuthInfo) bool {
	if uid, ok := g.uidOf(info); ok {
		return uid == 0
	}
	secured, ok := info.(credentials.TLSInfo)
	return ok && len(secured.State.VerifiedChains) > 0
}

// identify proves who calls. A password that was sent decides, for good or ill.
func (g *Gate) identify(ctx context.Context) (Identity, error) {
	name, password, sent, err := sentPassword(ctx)
	if err != nil {
		return Identity{}, err
	}
	if sent {
		return g.verifyOnce(ctx, name, password)
	}
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return Identity{}, fmt.Errorf("%w: no peer", ErrUnauthenticated)
	}
	if uid, ok := g.uidOf(caller.AuthInfo); ok {
		if uid != 0 {
			return Identity{}, fmt.Errorf("%w: user id %d is not root; be root or send username and password", ErrDenied, uid)
		}
		return Identity{User: "root", Role: Operator, Means: "local"}, nil
	}
	info, ok := caller.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return Identity{}, fmt.Errorf("%w: send a client certificate or username and password", ErrUnauthenticated)
	}
	user := info.State.VerifiedChains[0][0].Subject.CommonName
	role, err := g.users.Lookup(user)
	return Identity{User: user, Role: role, Means: "certificate"}, err
}

// sentPassword reads the metadata that gNMI clients send (gNMI specification section 3.1, authentication).
func sentPassword(ctx context.Context) (name, password string, sent bool, err error) {
	md, _ := metadata.FromIncomingContext(ctx)
	names, passwords := md.Get("username"), md.Get("password")
	if len(names) == 0 && len(passwords) == 0 {
		return "", "", false, nil
	}
	if len(names) != 1 || len(passwords) != 1 {
		return "", "", true, fmt.Errorf("%w: send exactly one username and one password", ErrUnauthenticated)
	}
	return names[0], passwords[0], true, nil
}

// verifyOnce verifies a password, or remembers that this connection sent the same one before. What it
// remembers is void when the users' file changes.
func (g *Gate) verifyOnce(ctx context.Context, name, password string) (Identity, error) {
	mac := hmac.New(sha256.New, g.secret)
	fmt.Fprintf(mac, "%d:%s:%s", len(name), name, password)
	sum := [32]byte(mac.Sum(nil))
	conn, _ := ctx.Value(connectionKey{}).(*connection)
	if role, ok := conn.known(sum, g.users.Stamp()); ok {
		return Identity{User: name, Role: role, Means: "password"}, nil
	}
	role, stamp, err := g.users.Verify(ctx, name, password)
	if err != nil {
		return Identity{}, err
	}
	conn.remember(sum, stamp, role)
	return Identity{User: name, Role: role, Means: "password"}, nil
}

// connection remembers the last password verified on one transport connection.
type connection struct {
	mu    sync.Mutex
	set   bool
	sum   [32]byte
	stamp fileStamp
	role  Role
}

func (c *connection) known(sum [32]byte, stamp fileStamp) (Role, bool) {
	if c == nil {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.role, c.set && hmac.Equal(c.sum[:], sum[:]) && c.stamp == stamp
}

func (c *connection) remember(sum [32]byte, stamp fileStamp, role Role) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set, c.sum, c.stamp, c.role = true, sum, stamp, role
}

type connectionKey struct{}

// connections gives each transport connection a place to remember in; it is a stats handler because
// that is where gRPC lets a server see connections.
type connections struct{}

func (connections) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{})
}
func (connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (connections) HandleRPC(context.Context, stats.RPCStats)                       {}
func (connections) HandleConn(context.Context, stats.ConnStats)                     {}
