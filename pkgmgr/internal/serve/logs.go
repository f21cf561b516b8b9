// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/logs"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

const (
	defaultTail = 100
	// maxTail bounds a tail in lines, and with it the memory of one call.
	maxTail = 10000
)

type logStream = grpc.ServerStreamingServer[supervisorv1.LogsResponse]

func (s *supervisor) Logs(req *supervisorv1.LogsRequest, stream logStream) error {
	names, err := s.logNames(req.GetComponent())
	if err != nil {
		return err
	}
	tail := int(req.GetTail())
	if tail == 0 {
		tail = defaultTail
	}
	readers := map[string]*logs.Reader{}
	var lines []logLine
	for _, name := range names {
		readers[name] = logs.NewReader(s.Layout.LogFile(name))
		text, err := readers[name].Tail(min(tail, maxTail))
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		lines = append(lines, stamp(name, text)...)
	}
	// Stable: lines of one component stay as they were written.
	slices.SortStableFunc(lines, func(a, b logLine) int { return cmp.Compare(a.at, b.at) })
	for _, l := range lines {
		if err := stream.Send(response(l.component, l.text)); err != nil {
			return err
		}
	}
	if !req.GetFollow() {
		return nil
	}
	return follow(readers, stream)
}

// logNames is the one component asked for or all, the supervisor first.
func (s *supervisor) logNames(component string) ([]string, error) {
	if component == s.Manifest.Name {
		return []string{component}, nil
	}
	if component != "" {
		if _, ok := s.Tree.Status().Get(component); !ok {
			return nil, status.Errorf(codes.NotFound, "%q: no such component in the running generation", component)
		}
		return []string{component}, nil
	}
	names := []string{s.Manifest.Name}
	for _, c := range s.Tree.Status().List() {
		names = append(names, c.Name)
	}
	return names, nil
}

// response makes a message of a line; what is no UTF-8 is replaced, as the wire takes nothing else.
func response(component, text string) *supervisorv1.LogsResponse {
	return &supervisorv1.LogsResponse{Component: component, Line: strings.ToValidUTF8(text, "\uFFFD")}
}

type logLine struct {
	component, text string
	// at is in nanoseconds since 1970.
	at int64
}

// stamp reads the time of structured lines; a plain one belongs to the line before it.
func stamp(component string, text []string) []logLine {
	out := make([]logLine, 0, len(text))
	var last int64
	for _, t := range text {
		var head struct {
			Time time.Time `json:"time"`
		}
		if json.Unmarshal([]byte(t), &head) == nil && !head.Time.IsZero() {
			last = head.Time.UnixNano()
		}
		out = append(out, logLine{component: component, text: t, at: last})
	}
	return out
}

// follow sends what is added until the caller goes away. One line at a time is under way for each
// component, so a slow caller holds up reading and nothing else.
func follow(readers map[string]*logs.Reader, stream logStream) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	lines := make(chan *supervisorv1.LogsResponse)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel(nil)
	for name, r := range readers {
		reading.Go(func() { cancel(pump(ctx, name, r, lines)) })
	}
	for {
		select {
		case l := <-lines:
			if err := stream.Send(l); err != nil {
				return err
			}
		case <-ctx.Done():
			if stream.Context().Err() != nil {
				return status.FromContextError(stream.Context().Err()).Err()
			}
			return status.Error(codes.Internal, context.Cause(ctx).Error())
		}
	}
}

func pump(ctx context.Context, component string, r *logs.Reader, to chan<- *supervisorv1.LogsResponse) error {
	for {
		lines, err := r.Follow(ctx)
		if err != nil {
			return err
		}
		for _, l := range lines {
			select {
			case to <- response(component, l):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}
