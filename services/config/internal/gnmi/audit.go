// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"context"
	"log/slog"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/access"
)

const (
	// toldPaths is how many paths of a Set are logged, toldText how much of a text, in bytes.
	toldPaths = 3
	toldText  = 256
)

// audit logs a Set, whatever became of it: who asked for what, from where, and what the answer was.
func (s *Server) audit(ctx context.Context, request *pb.SetRequest, revision int64, took time.Duration, err error) {
	id, _ := access.FromContext(ctx)
	from := ""
	if caller, ok := peer.FromContext(ctx); ok && caller.Addr != nil {
		from = caller.Addr.String()
	}
	level := slog.LevelInfo
	attributes := []slog.Attr{
		slog.String("user", id.User), slog.String("by", id.Means), slog.String("peer", from),
		slog.Int("operations", operations(request)), slog.Any("paths", firstPaths(request)),
		slog.String("code", status.Code(err).String()), slog.String("took", took.Round(time.Microsecond).String()),
	}
	if err != nil {
		level = slog.LevelWarn
		attributes = append(attributes, slog.String("reason", cut(status.Convert(err).Message())))
	} else {
		attributes = append(attributes, slog.Int64("revision", revision))
	}
	s.log.LogAttrs(ctx, level, "Set", attributes...)
}

func operations(request *pb.SetRequest) int {
	return len(request.GetDelete()) + len(request.GetReplace()) + len(request.GetUpdate()) + len(request.GetUnionReplace())
}

// firstPaths are some paths of a request, in the order in which they take effect.
func firstPaths(request *pb.SetRequest) []string {
	var paths []*pb.Path
	paths = append(paths, request.GetDelete()[:min(toldPaths, len(request.GetDelete()))]...)
	for _, updates := range [][]*pb.Update{request.GetReplace(), request.GetUpdate(), request.GetUnionReplace()} {
		for _, u := range updates[:min(toldPaths, len(updates))] {
			paths = append(paths, u.GetPath())
		}
	}
	var out []string
	for _, p := range paths[:min(toldPaths, len(paths))] {
		out = append(out, cut(text(request.GetPrefix(), p)))
	}
	return out
}

func cut(s string) string {
	if len(s) <= toldText {
		return s
	}
	return s[:toldText] + "…"
}
