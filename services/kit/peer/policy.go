// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// Policy decides by the roster who may call what.
type Policy struct {
	file string

	mu     sync.Mutex
	roster roster.Roster
	read   time.Time
}

// reread bounds how often an unknown caller makes the policy look at the file again.
const reread = 200 * time.Millisecond

// NewPolicy reads the roster from the file, again whenever a caller is unknown to it.
func NewPolicy(file string) *Policy { return &Policy{file: file} }

// Allow returns nil when the caller may call the method ("/package.Service/Method"), else a gRPC status.
func (p *Policy) Allow(ctx context.Context, method string) error {
	id, ok := FromContext(ctx)
	if !ok {
		return status.Error(codes.Unauthenticated, "the caller's identity is not known: use the unix socket")
	}
	if id.Operator() {
		return nil
	}
	contract, err := contractOf(method)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if p.mayCall(id.UID, contract) {
		return nil
	}
	return status.Errorf(codes.PermissionDenied, "%s may not call %s: no component with that user id requires the contract in its manifest", id, contract)
}

// Component returns the name of the component that called, "" when it is none.
func (p *Policy) Component(ctx context.Context) string {
	id, ok := FromContext(ctx)
	if !ok {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, found := p.roster.ByUID(id.UID); found {
		return c.Name
	}
	p.refresh()
	c, _ := p.roster.ByUID(id.UID)
	return c.Name
}

func (p *Policy) mayCall(uid uint32, contract string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.roster.MayCall(uid, contract) {
		return true
	}
	p.refresh()
	return p.roster.MayCall(uid, contract)
}

func (p *Policy) refresh() {
	if time.Since(p.read) < reread {
		return
	}
	p.read = time.Now()
	if r, err := roster.Load(p.file); err == nil {
		p.roster = r
	}
}

// contractOf cuts "/ashlar.rib.v1.Rib/List" down to "ashlar.rib.v1".
func contractOf(method string) (string, error) {
	service, _, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	dot := strings.LastIndexByte(service, '.')
	if !ok || dot <= 0 || !strings.HasPrefix(method, "/") {
		return "", fmt.Errorf("method %q: want /package.Service/Method", method)
	}
	return service[:dot], nil
}

// Unary refuses calls that are not allowed.
func (p *Policy) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := p.Allow(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// Stream refuses streams that are not allowed.
func (p *Policy) Stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := p.Allow(s.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, s)
}
