// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// fakePackages is a package manager that plays its part by the versions it is asked for: rib 1.2.0 has no
// evidence, dataplane 1.1.0 loses packets, and pkgmgr 1.1.0 goes away in the middle of its own upgrade.
type fakePackages struct {
	pkgv1.UnimplementedPackagesServer

	mu          sync.Mutex
	packages    []*pkgv1.Package
	generations []*pkgv1.Generation
	running     []*pkgv1.Member
	pending     *pkgv1.Plan
	history     []*pkgv1.Operation
	progress    map[uint64][]*pkgv1.Progress
	revertsAt   *timestamppb.Timestamp
}

func digestOf(component, version string) string {
	return fmt.Sprintf("%x", component+version) + strings.Repeat("0", 64-2*len(component+version))
}

func newFakePackages() *fakePackages {
	f := &fakePackages{progress: map[uint64][]*pkgv1.Progress{}}
	handover := map[string]string{"rib": "takeover", "dataplane": "restart", "pkgmgr": "restart"}
	for _, name := range []string{"dataplane", "pkgmgr", "rib"} {
		for _, version := range []string{"1.1.0", "1.0.0"} {
			f.packages = append(f.packages, &pkgv1.Package{Component: name, Version: version, Digest: digestOf(name, version), Signer: "lab",
				SizeBytes: 5 << 20, Handover: handover[name], Added: timestamppb.New(time.Unix(1_700_000_000, 0))})
		}
		f.running = append(f.running, &pkgv1.Member{Component: name, Version: "1.0.0", Digest: digestOf(name, "1.0.0")})
	}
	f.packages = append(f.packages,
		&pkgv1.Package{Component: "rib", Version: "1.2.0", Digest: digestOf("rib", "1.2.0"), Signer: "lab", Quarantine: "it was taken back: rib ended by itself"},
		&pkgv1.Package{Component: "rib", Version: "0.9.0", Digest: digestOf("rib", "0.9.0"), Signer: "lab", Handover: "takeover"})
	f.generations = []*pkgv1.Generation{{Id: 1, Made: timestamppb.New(time.Unix(1_700_000_000, 0)), Members: slices.Clone(f.running)}}
	return f
}

func (f *fakePackages) version(component string) string {
	for _, m := range f.running {
		if m.GetComponent() == component {
			return m.GetVersion()
		}
	}
	return ""
}

func (f *fakePackages) Show(context.Context, *pkgv1.ShowRequest) (*pkgv1.ShowResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	resp := &pkgv1.ShowResponse{
		Generations: f.generations, CommittedGeneration: f.generations[len(f.generations)-1].GetId(), Running: slices.Clone(f.running), Pending: f.pending,
		History: slices.Clone(f.history), RevertsAt: f.revertsAt,
	}
	for _, p := range f.packages {
		p := &pkgv1.Package{Component: p.GetComponent(), Version: p.GetVersion(), Digest: p.GetDigest(), Signer: p.GetSigner(), SizeBytes: p.GetSizeBytes(),
			Handover: p.GetHandover(), Added: p.GetAdded(), Quarantine: p.GetQuarantine()}
		p.Active = f.version(p.GetComponent()) == p.GetVersion()
		for _, m := range resp.GetGenerations()[len(f.generations)-1].GetMembers() {
			p.Committed = p.GetCommitted() || m.GetDigest() == p.GetDigest()
		}
		resp.Packages = append(resp.Packages, p)
	}
	if n := len(f.history); n > 0 {
		resp.Current = f.history[n-1]
	}
	return resp, nil
}

func (f *fakePackages) Add(stream pkgv1.Packages_AddServer) error {
	resp := &pkgv1.AddResponse{}
	var file *pkgv1.AddedFile
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(resp)
		}
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *pkgv1.AddRequest_Name:
			file = &pkgv1.AddedFile{Name: m.Name}
			resp.Files = append(resp.Files, file)
			if name, ok := strings.CutSuffix(m.Name, ".rpm"); ok {
				component, version, _ := strings.Cut(strings.TrimPrefix(name, "ashlar-"), "-")
				file.Package = &pkgv1.Package{Component: component, Version: version, Digest: digestOf(component, version), Signer: "lab"}
				file.Known = version == "1.0.0"
			}
		case *pkgv1.AddRequest_Data:
			if strings.Contains(string(m.Data), "tampered") {
				file.Package, file.Refusal = nil, "the payload is not what the signed header says: it was changed after it was signed"
			}
		}
	}
}

// refusal is why a change is not allowed; nil when it is.
func refusal(changes []*pkgv1.Change) *pkgv1.Reason {
	for _, c := range changes {
		if c.GetComponent() == "rib" && c.GetVersion() == "1.2.0" {
			return &pkgv1.Reason{Kind: "evidence-missing",
				Text: "nobody has tested rib 1.2.0 against dataplane 1.0.0 (ashlar.dataplane.v1): run the suite and add its result",
				Edge: &pkgv1.Edge{Consumer: "rib", Contract: "ashlar.dataplane.v1", Provider: "dataplane"}}
		}
	}
	return nil
}

func (f *fakePackages) plan(changes []*pkgv1.Change) *pkgv1.Plan {
	p := &pkgv1.Plan{Edges: 12, Sets: uint32(2*len(changes) + 1)}
	for _, c := range changes {
		step := &pkgv1.PlannedStep{Component: c.GetComponent(), FromVersion: f.version(c.GetComponent()), FromDigest: digestOf(c.GetComponent(), f.version(c.GetComponent()))}
		if !c.GetRemove() {
			version := c.GetVersion()
			if version == "" {
				version = "1.1.0"
			}
			step.ToVersion, step.ToDigest, step.Handover = version, digestOf(c.GetComponent(), version), "takeover"
		}
		p.Steps = append(p.Steps, step)
	}
	return p
}

func (f *fakePackages) Propose(_ context.Context, r *pkgv1.ProposeRequest) (*pkgv1.ProposeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if reason := refusal(r.GetChanges()); reason != nil {
		s, err := status.New(codes.FailedPrecondition, reason.GetText()).WithDetails(&errdetails.PreconditionFailure{
			Violations: []*errdetails.PreconditionFailure_Violation{{Type: reason.GetKind(), Description: reason.GetText()}},
		})
		if err != nil {
			return nil, err
		}
		return nil, s.Err()
	}
	plan := f.plan(r.GetChanges())
	if r.GetAdd() {
		plan.Steps = append(f.pending.GetSteps(), plan.GetSteps()...)
	}
	if !r.GetDryRun() {
		f.pending = plan
	}
	return &pkgv1.ProposeResponse{Plan: plan}, nil
}

// begin makes an operation of steps, with all the progress it will have.
func (f *fakePackages) begin(kind string, steps []*pkgv1.PlannedStep) *pkgv1.Operation {
	op := &pkgv1.Operation{Id: uint64(len(f.history) + 7), Kind: kind, Began: timestamppb.Now(), Outcome: pkgv1.Outcome_OUTCOME_RUNNING, Steps: steps, By: "uid 0"}
	f.history = append(f.history, op)
	outcome, reason := pkgv1.Outcome_OUTCOME_SUCCEEDED, ""
	say := func(p *pkgv1.Progress) {
		p.Operation, p.Time, p.Steps = op.GetId(), timestamppb.New(time.Now().Add(time.Duration(len(f.progress[op.GetId()]))*time.Millisecond)), uint32(len(steps))
		f.progress[op.GetId()] = append(f.progress[op.GetId()], p)
		op.Progress = p
	}
	say(&pkgv1.Progress{Phase: "planned"})
	for i, step := range steps {
		n := uint32(i + 1)
		say(&pkgv1.Progress{Component: step.GetComponent(), Phase: "warm", Step: n})
		lost := uint64(0)
		if step.GetComponent() == "dataplane" && step.GetToVersion() == "1.1.0" {
			lost, outcome, reason = 3, pkgv1.Outcome_OUTCOME_REVERSED, "packets lost 3, allowed 0"
		}
		gates := []*pkgv1.GateReading{{Name: "calls failed"}, {Name: "packets lost", Value: lost}}
		say(&pkgv1.Progress{Component: step.GetComponent(), Phase: "observe", Step: n, Gates: gates, FrozenUs: 3100})
		if lost > 0 {
			say(&pkgv1.Progress{Component: step.GetComponent(), Phase: "reversed", Step: n})
			break
		}
	}
	say(&pkgv1.Progress{Phase: "applied", Outcome: outcome, Message: reason})
	return op
}

// end puts an operation's outcome into effect.
func (f *fakePackages) end(op *pkgv1.Operation, revertsAt *timestamppb.Timestamp) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.progress[op.GetId()][len(f.progress[op.GetId()])-1]
	op.Outcome, op.Reason, op.Ended, f.pending = last.GetOutcome(), last.GetMessage(), timestamppb.Now(), nil
	if op.GetOutcome() != pkgv1.Outcome_OUTCOME_SUCCEEDED {
		return
	}
	for _, step := range op.GetSteps() {
		f.running = slices.DeleteFunc(slices.Clone(f.running), func(m *pkgv1.Member) bool { return m.GetComponent() == step.GetComponent() })
		if step.GetToVersion() != "" {
			f.running = append(f.running, &pkgv1.Member{Component: step.GetComponent(), Version: step.GetToVersion(), Digest: step.GetToDigest()})
		}
	}
	slices.SortFunc(f.running, func(a, b *pkgv1.Member) int { return strings.Compare(a.GetComponent(), b.GetComponent()) })
	f.revertsAt = revertsAt
	if revertsAt == nil {
		f.generations = append(slices.Clone(f.generations), &pkgv1.Generation{Id: uint64(len(f.generations) + 1), Made: timestamppb.Now(), Members: f.running, Operation: op.GetId()})
	}
}

func (f *fakePackages) Apply(r *pkgv1.ApplyRequest, stream pkgv1.Packages_ApplyServer) error {
	f.mu.Lock()
	op := f.begin("apply", f.pending.GetSteps())
	progress := f.progress[op.GetId()]
	f.mu.Unlock()
	var timer *timestamppb.Timestamp
	if !r.GetCommit() {
		timer = timestamppb.New(time.Now().Add(time.Duration(r.GetCommitTimerS())*time.Second + 500*time.Millisecond))
	}
	for i, p := range progress {
		if i == len(progress)-1 {
			f.end(op, timer)
		}
		if err := stream.Send(&pkgv1.ApplyResponse{Progress: p}); err != nil {
			return err
		}
		if p.GetComponent() == pkgmgrName && p.GetPhase() == "warm" {
			go func() {
				time.Sleep(time.Second)
				f.end(op, timer)
			}()
			return status.Error(codes.Internal, "the component is being replaced")
		}
	}
	return nil
}

func (f *fakePackages) Watch(r *pkgv1.WatchRequest, stream pkgv1.Packages_WatchServer) error {
	f.mu.Lock()
	op, progress := operationOf(&pkgv1.ShowResponse{History: f.history}, r.GetOperation()), f.progress[r.GetOperation()]
	over := op.GetOutcome() != pkgv1.Outcome_OUTCOME_RUNNING
	f.mu.Unlock()
	if !over {
		progress = progress[:len(progress)-1]
	}
	for _, p := range progress {
		if err := stream.Send(&pkgv1.WatchResponse{Progress: p}); err != nil {
			return err
		}
	}
	if over {
		return nil
	}
	return status.Error(codes.Unavailable, "the component drains again")
}

func (f *fakePackages) Rollback(r *pkgv1.RollbackRequest, stream pkgv1.Packages_RollbackServer) error {
	f.mu.Lock()
	if len(f.generations) < 2 {
		f.mu.Unlock()
		return status.Error(codes.FailedPrecondition, "there is no earlier generation")
	}
	to := f.generations[len(f.generations)-2]
	if r.GetGeneration() != 0 {
		to = f.generations[r.GetGeneration()-1]
	}
	var steps []*pkgv1.PlannedStep
	for _, m := range to.GetMembers() {
		if v := f.version(m.GetComponent()); v != m.GetVersion() {
			steps = append(steps, &pkgv1.PlannedStep{Component: m.GetComponent(), FromVersion: v, ToVersion: m.GetVersion(), ToDigest: m.GetDigest()})
		}
	}
	op := f.begin("rollback", steps)
	progress := f.progress[op.GetId()]
	f.mu.Unlock()
	for i, p := range progress {
		if i == len(progress)-1 {
			f.end(op, nil)
		}
		if err := stream.Send(&pkgv1.RollbackResponse{Progress: p}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakePackages) Commit(context.Context, *pkgv1.CommitRequest) (*pkgv1.CommitResponse, error) {
	f.mu.Lock()
	op := f.begin("commit", nil)
	f.mu.Unlock()
	f.end(op, nil)
	return &pkgv1.CommitResponse{Generation: uint64(len(f.generations))}, nil
}

func (f *fakePackages) Abort(context.Context, *pkgv1.AbortRequest) (*pkgv1.AbortResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.revertsAt == nil {
		f.pending = nil
		return &pkgv1.AbortResponse{Aborted: "the pending transaction was dropped"}, nil
	}
	f.revertsAt, f.running = nil, f.generations[len(f.generations)-1].GetMembers()
	return &pkgv1.AbortResponse{Aborted: "what was applied and not committed was taken back"}, nil
}

func (f *fakePackages) Verify(_ context.Context, r *pkgv1.VerifyRequest) (*pkgv1.VerifyResponse, error) {
	if r.GetGeneration() == 1 {
		return &pkgv1.VerifyResponse{Files: 12, Faults: []*pkgv1.Fault{{Component: "rib", Digest: digestOf("rib", "1.0.0"), File: "bin/ribd", Reason: "its content differs"}}}, nil
	}
	return &pkgv1.VerifyResponse{Files: 12}, nil
}

func (f *fakePackages) Discard(_ context.Context, r *pkgv1.DiscardRequest) (*pkgv1.DiscardResponse, error) {
	if r.GetPackages()[0] != "rib=0.9.0" {
		return nil, status.Errorf(codes.FailedPrecondition, "%s is in generation 1 and stays", r.GetPackages()[0])
	}
	return &pkgv1.DiscardResponse{Discarded: []*pkgv1.Package{{Component: "rib", Version: "0.9.0"}}}, nil
}

func (f *fakePackages) Judge(_ context.Context, r *pkgv1.JudgeRequest) (*pkgv1.JudgeResponse, error) {
	edge := &pkgv1.Edge{Consumer: "rib", ConsumerVersion: "1.0.0", Contract: "ashlar.dataplane.v1", Levels: "≥ 1", Provider: "dataplane", ProviderVersion: "1.0.0",
		ProviderDigest: digestOf("dataplane", "1.0.0"), Level: 1, Result: "passed"}
	resp := &pkgv1.JudgeResponse{Allowed: true, Sets: 3, Edges: []*pkgv1.Edge{edge,
		{Consumer: "config", ConsumerVersion: "1.0.0", Contract: "ashlar.telemetry.v1", Levels: "≥ 1", Optional: true, Result: "missing"}}}
	if reason := refusal(r.GetChanges()); reason != nil {
		resp.Allowed, resp.Reasons = false, []*pkgv1.Reason{reason, reason}
		edge.ConsumerVersion, edge.Result = "1.2.0", "missing"
	}
	return resp, nil
}
