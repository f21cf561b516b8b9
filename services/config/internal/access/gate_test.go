// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// socket is the authentication data of a unix socket's peer.
type socket struct {
	credentials.CommonAuthInfo
	uid uint32
}

func (socket) AuthType() string { return "test" }

func TestOnlyRootIsTheOperator(t *testing.T) {
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	users, err := NewUsers(filepath.Join(t.TempDir(), "users.json"), log)
	if err != nil {
		t.Fatal(err)
	}
	var refused []codes.Code
	gate, err := NewGate(users, func(info credentials.AuthInfo) (uint32, bool) {
		s, ok := info.(socket)
		return s.uid, ok
	}, func(c codes.Code) { refused = append(refused, c) }, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		desc string
		ctx  context.Context
		want codes.Code
	}{
		{"root", peer.NewContext(t.Context(), &peer.Peer{AuthInfo: socket{uid: 0}}), codes.OK},
		{"somebody", peer.NewContext(t.Context(), &peer.Peer{AuthInfo: socket{uid: 1000}}), codes.PermissionDenied},
		{"no authentication data", peer.NewContext(t.Context(), &peer.Peer{}), codes.Unauthenticated},
		{"no peer", t.Context(), codes.Unauthenticated},
		{"a name without a password", metadata.NewIncomingContext(t.Context(), metadata.Pairs("username", "x")), codes.Unauthenticated},
		{"two passwords", metadata.NewIncomingContext(t.Context(), metadata.Pairs("username", "mallory", "password", "secret1", "password", "secret2")), codes.Unauthenticated},
	} {
		ctx, err := gate.admit(tt.ctx, setMethod)
		if status.Code(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.desc, err, tt.want)
		}
		if err == nil {
			if id, ok := FromContext(ctx); !ok || id.Role != Operator || id.Means != "local" {
				t.Errorf("%s: identity %+v", tt.desc, id)
			}
		}
	}
	if len(refused) != 5 {
		t.Errorf("%d refusals counted, want 5", len(refused))
	}
	logged := lines.String()
	if strings.Count(logged, "a call is refused") != 5 || !strings.Contains(logged, "user=mallory") || strings.Contains(logged, "secret") {
		t.Errorf("the log has %s", logged)
	}
	// A guesser is told of, but does not fill the log.
	guess := metadata.NewIncomingContext(t.Context(), metadata.Pairs("username", strings.Repeat("x", 5000)))
	for range 1000 {
		_, _ = gate.admit(guess, setMethod)
	}
	if n := strings.Count(lines.String(), "a call is refused"); n > tellFirst+20 || lines.Len() > 20_000 {
		t.Errorf("%d lines of %d bytes for 1,005 refusals", n, lines.Len())
	}
}
