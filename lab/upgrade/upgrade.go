// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package upgrade drives a device's package manager as automation does, by ashlar.pkg.v1. An operation is
// followed to its end whatever happens to the package manager meanwhile: its own upgrade, or its death.
//
// A Manager is safe for concurrent use.
package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/lab/instance"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// Manager is a client of the device's package manager.
type Manager struct {
	connection *grpc.ClientConn
	packages   pkgv1.PackagesClient
}

// Dial returns a manager of the lab's device.
func Dial(lab *instance.Lab) (*Manager, error) {
	connection, err := lab.DialPackages()
	if err != nil {
		return nil, err
	}
	return &Manager{connection: connection, packages: pkgv1.NewPackagesClient(connection)}, nil
}

// Close ends the connection.
func (m *Manager) Close() error { return m.connection.Close() }

// Options say how to apply.
type Options struct {
	// Soak is how long each new version is observed; Timer after which time an uncommitted set is taken back.
	// Zero leaves both to the device.
	Soak, Timer time.Duration
	// Commit at once when everything has succeeded.
	Commit bool
	// Each is called with all progress, in order; nil for none.
	Each func(*pkgv1.Progress)
}

// Result is how an operation ended.
type Result struct {
	ID      uint64
	Outcome pkgv1.Outcome
	Reason  string
	// Frozen is, for each component of the operation, how long nobody took calls at its cutover.
	Frozen map[string]time.Duration
	// Gates are the last readings.
	Gates []*pkgv1.GateReading
}

// Err is nil when the operation succeeded.
func (r Result) Err() error {
	if r.Outcome == pkgv1.Outcome_OUTCOME_SUCCEEDED {
		return nil
	}
	return fmt.Errorf("operation %d ended as %s: %s", r.ID, r.Word(), r.Reason)
}

// Word is the outcome in one word.
func (r Result) Word() string {
	return strings.ToLower(strings.TrimPrefix(r.Outcome.String(), "OUTCOME_"))
}

// Add brings files to the device's store and fails if one of them is refused.
func (m *Manager) Add(ctx context.Context, files ...string) error {
	stream, err := m.packages.Add(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := send(stream, file); err != nil {
			break // CloseAndRecv says why
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return fmt.Errorf("add: %w", err)
	}
	var refused []error
	for _, file := range answer.GetFiles() {
		if file.GetRefusal() != "" {
			refused = append(refused, errors.New(file.GetRefusal()))
		}
	}
	return errors.Join(refused...)
}

// chunk is how many bytes of a file go in one message.
const chunk = 512 << 10

func send(stream grpc.ClientStreamingClient[pkgv1.AddRequest, pkgv1.AddResponse], file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	name := &pkgv1.AddRequest{Message: &pkgv1.AddRequest_Name{Name: filepath.Base(file)}}
	if err := stream.Send(name); err != nil {
		return err
	}
	for {
		data := make([]byte, chunk)
		n, err := f.Read(data)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pkgv1.AddRequest{Message: &pkgv1.AddRequest_Data{Data: data[:n]}}); err != nil {
			return err
		}
	}
}

// Propose makes the pending transaction of changes "component=version".
func (m *Manager) Propose(ctx context.Context, changes ...string) (*pkgv1.Plan, error) {
	request := &pkgv1.ProposeRequest{}
	for _, change := range changes {
		component, version, _ := strings.Cut(change, "=")
		request.Changes = append(request.Changes, &pkgv1.Change{Component: component, Version: version})
	}
	answer, err := m.packages.Propose(ctx, request, grpc.WaitForReady(true))
	return answer.GetPlan(), err
}

// Apply carries out the pending transaction and follows it to its end.
func (m *Manager) Apply(ctx context.Context, o Options) (Result, error) {
	request := &pkgv1.ApplyRequest{
		CommitTimerS: uint32(o.Timer.Seconds()), SoakMs: uint32(o.Soak.Milliseconds()), Commit: o.Commit,
	}
	stream, err := m.packages.Apply(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		return Result{}, err
	}
	return m.follow(ctx, o, func() (*pkgv1.Progress, error) {
		answer, err := stream.Recv()
		return answer.GetProgress(), err
	})
}

// Upgrade proposes changes "component=version" and applies them.
func (m *Manager) Upgrade(ctx context.Context, o Options, changes ...string) (Result, error) {
	if _, err := m.Propose(ctx, changes...); err != nil {
		return Result{}, err
	}
	return m.Apply(ctx, o)
}

// Rollback goes back to a generation, with some of its components or all.
func (m *Manager) Rollback(ctx context.Context, o Options, generation uint64, components ...string) (Result, error) {
	request := &pkgv1.RollbackRequest{Generation: generation, Components: components, SoakMs: uint32(o.Soak.Milliseconds())}
	stream, err := m.packages.Rollback(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		return Result{}, err
	}
	return m.follow(ctx, o, func() (*pkgv1.Progress, error) {
		answer, err := stream.Recv()
		return answer.GetProgress(), err
	})
}

// Commit makes what was applied the committed generation.
func (m *Manager) Commit(ctx context.Context) error {
	_, err := m.packages.Commit(ctx, &pkgv1.CommitRequest{}, grpc.WaitForReady(true))
	return err
}

// Abort drops what is pending, or takes back what is applied.
func (m *Manager) Abort(ctx context.Context) error {
	_, err := m.packages.Abort(ctx, &pkgv1.AbortRequest{}, grpc.WaitForReady(true))
	return err
}

// Show returns everything that the package manager knows.
func (m *Manager) Show(ctx context.Context) (*pkgv1.ShowResponse, error) {
	return m.packages.Show(ctx, &pkgv1.ShowRequest{}, grpc.WaitForReady(true))
}

// Versions are the running components and their versions.
func (m *Manager) Versions(ctx context.Context) (map[string]string, error) {
	now, err := m.Show(ctx)
	versions := map[string]string{}
	for _, member := range now.GetRunning() {
		versions[member.GetComponent()] = member.GetVersion()
	}
	return versions, err
}

// again lies between two attempts to follow an operation whose stream broke.
const again = 20 * time.Millisecond

// follow reads progress until the operation has ended. When the stream breaks it is followed by its id: what was
// seen already is not told again.
func (m *Manager) follow(ctx context.Context, o Options, next func() (*pkgv1.Progress, error)) (Result, error) {
	result := Result{Frozen: map[string]time.Duration{}}
	var last time.Time
	for {
		progress, err := next()
		if err == nil {
			if at := progress.GetTime().AsTime(); at.After(last) {
				last = at
				result.take(progress)
				if o.Each != nil {
					o.Each(progress)
				}
			}
			if result.ended() {
				return result, nil
			}
			continue
		}
		if result.ID == 0 || ctx.Err() != nil || !broken(err) {
			return result, err
		}
		if next, err = m.watch(ctx, result.ID); err != nil {
			return result, err
		}
	}
}

// broken reports whether a stream ended for want of its server, and not by an answer.
func broken(err error) bool {
	code := status.Code(err)
	return errors.Is(err, io.EOF) || code == codes.Unavailable || code == codes.Canceled || code == codes.Aborted
}

func (m *Manager) watch(ctx context.Context, operation uint64) (func() (*pkgv1.Progress, error), error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(again):
	}
	stream, err := m.packages.Watch(ctx, &pkgv1.WatchRequest{Operation: operation}, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	return func() (*pkgv1.Progress, error) {
		answer, err := stream.Recv()
		return answer.GetProgress(), err
	}, nil
}

func (r *Result) take(p *pkgv1.Progress) {
	r.ID = p.GetOperation()
	if p.GetFrozenUs() > 0 {
		r.Frozen[p.GetComponent()] = time.Duration(p.GetFrozenUs()) * time.Microsecond
	}
	if len(p.GetGates()) > 0 {
		r.Gates = p.GetGates()
	}
	r.Outcome, r.Reason = p.GetOutcome(), p.GetMessage()
}

func (r *Result) ended() bool {
	return r.Outcome != pkgv1.Outcome_OUTCOME_UNSPECIFIED && r.Outcome != pkgv1.Outcome_OUTCOME_RUNNING
}
