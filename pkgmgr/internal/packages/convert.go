// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package packages

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/rpm"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/engine"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/plan"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// view is what a message is made from, all of one moment.
type view struct {
	state     *engine.State
	pending   *plan.Plan
	committed map[string]string
}

func (s *Server) view() view {
	v := view{}
	v.state, v.pending, _ = s.parts.Engine.Snapshot()
	if g, ok := s.parts.Generations.Committed(); ok {
		v.committed = g.Members
	}
	return v
}

func (v view) pkg(p *store.Package) *pkgv1.Package {
	return &pkgv1.Package{
		Component: p.Component, Version: p.Version, Digest: p.Digest, Summary: p.Summary, Signer: p.Signer, SizeBytes: p.Size,
		Active: v.state.Running[p.Component] == p.Digest, Committed: v.committed[p.Component] == p.Digest,
		Handover: string(p.Manifest.Handover), Added: timestamp(p.Added), Quarantine: v.state.Quarantine[p.Digest],
	}
}

func (s *Server) show(ctx context.Context) *pkgv1.ShowResponse {
	v := s.view()
	out := &pkgv1.ShowResponse{RevertsAt: timestamp(v.state.RevertsAt)}
	for _, p := range s.parts.Store.Packages() {
		out.Packages = append(out.Packages, v.pkg(p))
		out.StoreBytes += p.Size
	}
	// Without a figure the answer is still an answer.
	out.FreeBytes, _ = s.parts.Store.Free()
	if g, ok := s.parts.Generations.Committed(); ok {
		out.CommittedGeneration = g.ID
	}
	for _, g := range s.parts.Generations.List() {
		out.Generations = append(out.Generations, &pkgv1.Generation{
			Id: g.ID, Made: timestamp(g.Made), Members: s.members(g.Members), Operation: g.Operation,
		})
	}
	if out.Running = s.members(v.state.Running); len(out.Running) == 0 {
		out.Running = s.processes(ctx)
	}
	if v.pending != nil {
		out.Pending = planOf(*v.pending)
	}
	for _, o := range v.state.Operations {
		out.History = append(out.History, operationOf(o))
		if out.Current == nil || out.Current.GetOutcome() != pkgv1.Outcome_OUTCOME_RUNNING {
			out.Current = operationOf(o)
		}
	}
	return out
}

func (s *Server) members(digests map[string]string) []*pkgv1.Member {
	var out []*pkgv1.Member
	for _, component := range sorted(digests) {
		m := &pkgv1.Member{Component: component, Digest: digests[component]}
		if p, ok := s.parts.Store.Package(m.Digest); ok {
			m.Version = p.Version
		}
		out = append(out, m)
	}
	return out
}

// processes is what the supervisor runs, of a device that was not installed from packages.
func (s *Server) processes(ctx context.Context) []*pkgv1.Member {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	list, err := s.parts.Supervisor.List(ctx, &supervisorv1.ListRequest{})
	if err != nil {
		return nil
	}
	out := []*pkgv1.Member{{Component: plan.Supervisor, Version: list.GetSupervisorVersion(), Digest: list.GetSupervisorDigest()}}
	for _, c := range list.GetComponents() {
		out = append(out, &pkgv1.Member{Component: c.GetName(), Version: c.GetVersion(), Digest: c.GetDigest()})
	}
	return out
}

func planOf(p plan.Plan) *pkgv1.Plan {
	out := &pkgv1.Plan{Edges: uint32(p.Verdict.Judged), Sets: uint32(p.Sets)}
	for _, s := range p.Steps {
		step := &pkgv1.PlannedStep{Component: s.Component}
		if s.From != nil {
			step.FromVersion, step.FromDigest, step.Handover = s.From.Version, s.From.Digest, string(s.From.Manifest.Handover)
		}
		if s.To != nil {
			step.ToVersion, step.ToDigest, step.Handover = s.To.Version, s.To.Digest, string(s.To.Manifest.Handover)
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

func operationOf(o *engine.Operation) *pkgv1.Operation {
	out := &pkgv1.Operation{
		Id: o.ID, Kind: o.Kind, Began: timestamp(o.Began), Ended: timestamp(o.Ended), Outcome: outcomeOf(o.Outcome), Reason: o.Reason, By: o.By,
	}
	for _, s := range o.Steps {
		out.Steps = append(out.Steps, &pkgv1.PlannedStep{
			Component: s.Component, FromVersion: s.FromVersion, FromDigest: s.From, ToVersion: s.ToVersion, ToDigest: s.To, Handover: s.Handover,
		})
	}
	if n := len(o.Progress); n > 0 {
		out.Progress = progressOf(o, o.Progress[n-1])
	}
	return out
}

func progressOf(o *engine.Operation, p engine.Progress) *pkgv1.Progress {
	out := &pkgv1.Progress{
		Operation: o.ID, Time: timestamp(p.Time), Component: p.Component, Phase: p.Phase, Message: p.Message,
		Step: uint32(p.Step), Steps: uint32(len(o.Steps)), FrozenUs: p.FrozenUS, Outcome: outcomeOf(p.Outcome),
	}
	for _, g := range p.Gates {
		out.Gates = append(out.Gates, &pkgv1.GateReading{Name: g.Name, Value: g.Value, Most: g.Most, Missing: g.Missing})
	}
	return out
}

func outcomeOf(o engine.Outcome) pkgv1.Outcome {
	return map[engine.Outcome]pkgv1.Outcome{
		engine.Running: pkgv1.Outcome_OUTCOME_RUNNING, engine.Succeeded: pkgv1.Outcome_OUTCOME_SUCCEEDED,
		engine.Reversed: pkgv1.Outcome_OUTCOME_REVERSED, engine.Failed: pkgv1.Outcome_OUTCOME_FAILED,
		engine.Refused: pkgv1.Outcome_OUTCOME_REFUSED, engine.Aborted: pkgv1.Outcome_OUTCOME_ABORTED,
	}[o]
}

func reasonOf(d rpm.Difference) string {
	if d.Detail == "" {
		return string(d.Problem)
	}
	return string(d.Problem) + ": " + d.Detail
}

// timestamp leaves out what is not known.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
