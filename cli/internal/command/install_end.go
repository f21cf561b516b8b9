// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

func (s *session) installCommit() *cobra.Command {
	return &cobra.Command{
		Use:   "commit",
		Short: "Make the applied set the one that the device boots",
		Args:  between(0, 0, "no arguments"),
		RunE:  func(c *cobra.Command, _ []string) error { return s.runCommit(c.Context()) },
	}
}

func (s *session) runCommit(ctx context.Context) error {
	d, err := s.depot()
	if err != nil {
		return err
	}
	defer d.Close()
	shown, err := d.show(ctx)
	if err != nil {
		return err
	}
	if now := situationOf(shown, time.Now()); now.running() == nil && len(now.uncommitted()) == 0 {
		return fail.Refusef(now.words(), "nothing is applied: there is nothing to commit")
	}
	callCtx, cancel := context.WithTimeout(ctx, max(s.timeout, time.Minute))
	defer cancel()
	resp, err := d.Commit(callCtx, &pkgv1.CommitRequest{})
	if err != nil {
		return d.explain(ctx, err)
	}
	operation := d.newest(ctx, "commit")
	if s.format != render.Table {
		return s.writer().Data(map[string]uint64{"operation": operation, "generation": resp.GetGeneration()})
	}
	_, err = fmt.Fprintf(s.Out, "operation %d: generation %d is committed; the device boots it\n", operation, resp.GetGeneration())
	return err
}

// newest is the id of the newest operation of a kind, 0 if the device does not say.
func (d *depot) newest(ctx context.Context, kind string) uint64 {
	shown, err := d.show(ctx)
	if err != nil {
		return 0
	}
	id := uint64(0)
	for _, op := range append([]*pkgv1.Operation{shown.GetCurrent()}, shown.GetHistory()...) {
		if op.GetKind() == kind {
			id = max(id, op.GetId())
		}
	}
	return id
}

func (s *session) installAbort() *cobra.Command {
	return &cobra.Command{
		Use:   "abort",
		Short: "End the operation under way, take back what is not committed, or drop what is pending",
		Args:  between(0, 0, "no arguments"),
		RunE:  func(c *cobra.Command, _ []string) error { return s.runAbort(c.Context()) },
	}
}

func (s *session) runAbort(ctx context.Context) error {
	d, err := s.depot()
	if err != nil {
		return err
	}
	defer d.Close()
	shown, err := d.show(ctx)
	if err != nil {
		return err
	}
	now := situationOf(shown, time.Now())
	if now.running() == nil && len(now.uncommitted()) == 0 && len(shown.GetPending().GetSteps()) == 0 {
		return fail.Refusef(now.words(), "nothing is under way, applied or pending: there is nothing to abort")
	}
	// What was applied is taken back in service, step by step.
	callCtx, cancel := context.WithTimeout(ctx, max(longCall, s.timeout))
	defer cancel()
	resp, err := d.Abort(callCtx, &pkgv1.AbortRequest{})
	if err != nil {
		return d.explain(ctx, err)
	}
	if s.format != render.Table {
		return s.writer().Data(map[string]string{"aborted": resp.GetAborted()})
	}
	after := ""
	if shown, err := d.show(ctx); err == nil {
		after = "; " + situationOf(shown, time.Now()).words()
	}
	_, err = fmt.Fprintf(s.Out, "aborted: %s%s\n", resp.GetAborted(), after)
	return err
}

func (s *session) installVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [GENERATION]",
		Short: "Compare the installed files with their packages",
		Long:  "verify compares the files of the running set, or of a generation, with their packages, and returns 1 when any differs.\n\n" + exitCodes,
		Args:  between(0, 1, "at most one GENERATION"),
		RunE: func(c *cobra.Command, args []string) error {
			generation, err := parseGeneration(args)
			if err != nil {
				return err
			}
			return s.runVerify(c.Context(), generation)
		},
	}
}

// faultInfo is a fault as verify prints it for programs.
type faultInfo struct {
	Component string `json:"component"`
	Digest    string `json:"digest"`
	File      string `json:"file"`
	Reason    string `json:"reason"`
}

func (s *session) runVerify(ctx context.Context, generation uint64) error {
	d, err := s.depot()
	if err != nil {
		return err
	}
	defer d.Close()
	callCtx, cancel := context.WithTimeout(ctx, max(longCall, s.timeout))
	defer cancel()
	resp, err := d.Verify(callCtx, &pkgv1.VerifyRequest{Generation: generation})
	if err != nil {
		return d.explain(ctx, err)
	}
	return s.printVerified(resp)
}

func (s *session) printVerified(resp *pkgv1.VerifyResponse) error {
	faults := []faultInfo{}
	g := render.Grid{Columns: []string{"COMPONENT", "PACKAGE", "FILE", "FAULT"}}
	for _, f := range resp.GetFaults() {
		faults = append(faults, faultInfo{f.GetComponent(), f.GetDigest(), f.GetFile(), f.GetReason()})
		g.Add(render.Text(f.GetComponent()), render.Text(short(f.GetDigest())), render.Text(f.GetFile()), render.Cell{Text: f.GetReason(), Mood: render.Bad})
	}
	var err error
	switch {
	case s.format != render.Table:
		err = s.writer().Data(map[string]any{"files": resp.GetFiles(), "faults": faults})
	case len(faults) > 0:
		err = s.writer().Grid(g)
	default:
		_, err = fmt.Fprintf(s.Out, "all %s are as their packages have them\n", count(int(resp.GetFiles()), "file", "files"))
	}
	if err == nil && len(faults) > 0 {
		err = fail.Refusef("go to another version (`ashlar install upgrade` or `rollback`), then discard the damaged package and add it again",
			"%d of %d files are not as their packages have them", len(faults), resp.GetFiles())
	}
	return err
}

func (s *session) installDiscard() *cobra.Command {
	return &cobra.Command{
		Use:               "discard PACKAGE...",
		Short:             "Remove packages from the store",
		Long:              "discard removes packages, named COMPONENT=VERSION or by 8 or more digits of their digest. What runs, and what a kept generation needs, stays.\n\n" + exitCodes,
		Args:              between(1, -1, "PACKAGE, as `ashlar show install inactive` lists them"),
		RunE:              func(c *cobra.Command, args []string) error { return s.runDiscard(c.Context(), args) },
		ValidArgsFunction: s.completePackages,
	}
}

func (s *session) runDiscard(ctx context.Context, args []string) error {
	d, err := s.depot()
	if err != nil {
		return err
	}
	defer d.Close()
	callCtx, cancel := context.WithTimeout(ctx, max(time.Minute, s.timeout))
	defer cancel()
	resp, err := d.Discard(callCtx, &pkgv1.DiscardRequest{Packages: args})
	if err != nil {
		return d.explain(ctx, err)
	}
	infos, words := []packageInfo{}, []string{}
	for _, p := range resp.GetDiscarded() {
		infos = append(infos, packageOf(p))
		words = append(words, p.GetComponent()+" "+p.GetVersion())
	}
	if s.format != render.Table {
		return s.writer().Data(infos)
	}
	_, err = fmt.Fprintf(s.Out, "discarded: %s\n", strings.Join(words, ", "))
	return err
}
