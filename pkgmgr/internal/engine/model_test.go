// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"maps"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
)

// model is a supervisor as the contract has it, without processes. It outlives engines.
type model struct {
	supervisorv1.SupervisorClient // what engines do not call
	store                         *store.Store

	mu        sync.Mutex
	running   map[string]string
	candidate map[string]string
	trial     map[string]string
	reversal  map[string]*supervisorv1.Reversal
	unready   map[string]string
	cutovers  int

	// What goes wrong, by digest.
	stageError   map[string]error
	cutoverError map[string]error
	outputs      map[string][]*lifecyclev1.Output
	missing      map[string]string
	// dies: it ends by itself as soon as it was cut over to.
	dies map[string]bool
	// mute: it serves nothing.
	mute map[string]bool
	// replaced is called when the package manager itself was cut over to: its process ends.
	replaced func()
}

func newModel(s *store.Store, running map[string]string) *model {
	return &model{
		store: s, running: maps.Clone(running), candidate: map[string]string{}, trial: map[string]string{},
		reversal: map[string]*supervisorv1.Reversal{}, unready: map[string]string{},
		stageError: map[string]error{}, cutoverError: map[string]error{}, outputs: map[string][]*lifecyclev1.Output{},
		missing: map[string]string{}, dies: map[string]bool{}, mute: map[string]bool{},
	}
}

func (m *model) set() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.running)
}

func (m *model) version(digest string) string {
	if p, ok := m.store.Package(digest); ok {
		return p.Version
	}
	return ""
}

func (m *model) List(ctx context.Context, _ *supervisorv1.ListRequest, _ ...grpc.CallOption) (*supervisorv1.ListResponse, error) {
	if ctx.Err() != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := &supervisorv1.ListResponse{SupervisorDigest: m.running["supervisor"], SupervisorVersion: m.version(m.running["supervisor"])}
	names := maps.Clone(m.running)
	maps.Copy(names, m.candidate)
	for name := range names {
		if name == "supervisor" {
			continue
		}
		c := &supervisorv1.ComponentStatus{
			Name: name, Digest: m.running[name], Version: m.version(m.running[name]),
			Phase: supervisorv1.Phase_PHASE_READY, Reversal: m.reversal[name],
		}
		if why := m.unready[name]; why != "" {
			c.Phase, c.Reason = supervisorv1.Phase_PHASE_UNREADY, why
		}
		if d := m.candidate[name]; d != "" {
			c.Candidate = &supervisorv1.Candidate{Digest: d, Version: m.version(d), Provides: m.provides(d)}
		}
		if d := m.trial[name]; d != "" {
			c.Trial = &supervisorv1.Trial{PreviousDigest: d}
		}
		out.Components = append(out.Components, c)
	}
	return out, nil
}

func (m *model) provides(digest string) []*lifecyclev1.Contract {
	p, ok := m.store.Package(digest)
	if !ok || m.mute[digest] {
		return nil
	}
	var out []*lifecyclev1.Contract
	for _, c := range p.Manifest.Provides {
		out = append(out, &lifecyclev1.Contract{Name: c.Contract, Level: c.Level})
	}
	return out
}

func (m *model) Stage(_ context.Context, r *supervisorv1.StageRequest, _ ...grpc.CallOption) (*supervisorv1.StageResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	digest := filepath.Base(r.GetTree())
	if err := m.stageError[digest]; err != nil {
		return nil, err
	}
	m.candidate[r.GetComponent()] = digest
	return &supervisorv1.StageResponse{Candidate: &supervisorv1.Candidate{Digest: digest}}, nil
}

func (m *model) Rehearse(_ context.Context, r *supervisorv1.RehearseRequest, _ ...grpc.CallOption) (*supervisorv1.RehearseResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	candidate := m.candidate[r.GetComponent()]
	if candidate == "" {
		return nil, status.Error(codes.FailedPrecondition, "nothing is staged")
	}
	out := &supervisorv1.RehearseResponse{Candidate: m.rehearsal(candidate)}
	if running := m.running[r.GetComponent()]; running != "" {
		out.Running = m.rehearsal(running)
	}
	return out, nil
}

func (m *model) rehearsal(digest string) *lifecyclev1.RehearseResponse {
	return &lifecyclev1.RehearseResponse{Synced: m.missing[digest] == "", Missing: m.missing[digest], Outputs: m.outputs[digest]}
}

func (m *model) Cutover(ctx context.Context, r *supervisorv1.CutoverRequest, _ ...grpc.CallOption) (*supervisorv1.CutoverResponse, error) {
	m.mu.Lock()
	name, digest := r.GetComponent(), r.GetDigest()
	unchanged := m.running[name] == digest
	if !unchanged {
		if err := m.cutOver(name, digest); err != nil {
			m.mu.Unlock()
			return nil, err
		}
	}
	replaced := m.replaced
	m.mu.Unlock()
	if name == "pkgmgr" && !unchanged && replaced != nil {
		replaced()
		<-ctx.Done()
		return nil, status.Error(codes.Unavailable, "the caller is being replaced")
	}
	return &supervisorv1.CutoverResponse{FrozenUs: 1500, Unchanged: unchanged}, nil
}

func (m *model) cutOver(name, digest string) error {
	if m.candidate[name] != digest {
		return status.Error(codes.FailedPrecondition, "it is not staged")
	}
	delete(m.candidate, name)
	if err := m.cutoverError[digest]; err != nil {
		return err
	}
	m.cutovers++
	old := m.running[name]
	if m.dies[digest] {
		m.reversal[name] = &supervisorv1.Reversal{FromDigest: digest, ToVersion: m.version(old), Reason: "signal: segmentation fault"}
		return nil
	}
	m.running[name] = digest
	if old != "" {
		m.trial[name] = old
	}
	return nil
}

// die ends a component on trial: the supervisor goes back.
func (m *model) die(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reversal[name] = &supervisorv1.Reversal{FromDigest: m.running[name], ToVersion: m.version(m.trial[name]), Reason: "exit status 2"}
	m.running[name] = m.trial[name]
	delete(m.trial, name)
}

func (m *model) Discard(_ context.Context, r *supervisorv1.DiscardRequest, _ ...grpc.CallOption) (*supervisorv1.DiscardResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.candidate, r.GetComponent())
	return &supervisorv1.DiscardResponse{}, nil
}

func (m *model) Confirm(_ context.Context, r *supervisorv1.ConfirmRequest, _ ...grpc.CallOption) (*supervisorv1.ConfirmResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.trial, r.GetComponent())
	return &supervisorv1.ConfirmResponse{}, nil
}

func (m *model) Remove(_ context.Context, r *supervisorv1.RemoveRequest, _ ...grpc.CallOption) (*supervisorv1.RemoveResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.running, r.GetComponent())
	delete(m.trial, r.GetComponent())
	return &supervisorv1.RemoveResponse{}, nil
}
