// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// pkgmgrName is the component whose socket serves ashlar.pkg.v1.
const pkgmgrName = "pkgmgr"

// longCall bounds calls that read or write whole packages.
const longCall = 10 * time.Minute

// completionLimit is how long the shell waits for offers.
const completionLimit = time.Second

// componentArgument is how a component and a version are written.
const componentArgument = "COMPONENT[=VERSION]"

func (s *session) install() *cobra.Command {
	c := &cobra.Command{
		Use:   "install",
		Short: "Add, upgrade, commit and take back versions of components, in service",
		Long: `install changes which versions run, one component after the other, while packets flow and calls succeed.

  ashlar install add ./repository       packages and contract-test results come into the device's store
  ashlar install upgrade rib=1.1.0      says what the next apply shall change; refused if the set was not tested together
  ashlar install apply                  carries it out; what fails is taken back by itself
  ashlar install commit                 makes it what the device boots; without it, it is taken back after two hours
  ashlar install rollback               goes back to the generation before

` + exitCodes,
		Args: cobra.ArbitraryArgs,
		RunE: needSubcommand,

		SuggestionsMinimumDistance: suggestionDistance,
	}
	c.AddCommand(s.installAdd(), s.installUpgrade(), s.installDowngrade(), s.installRemove(), s.installApply(), s.installCommit(),
		s.installRollback(), s.installAbort(), s.installVerify(), s.installDiscard())
	return c
}

// depot is the package manager of a device.
type depot struct {
	*device.Device
	pkgv1.PackagesClient
	place fail.Place
	limit time.Duration
}

// depot connects to the package manager; it is the caller's to close.
func (s *session) depot() (*depot, error) {
	d, err := s.open()
	if err != nil {
		return nil, err
	}
	conn, place, err := d.Component(pkgmgrName)
	if err != nil {
		d.Close()
		return nil, err
	}
	return &depot{Device: d, PackagesClient: pkgv1.NewPackagesClient(conn), place: place, limit: s.timeout}, nil
}

// show asks for the whole state.
func (d *depot) show(ctx context.Context) (*pkgv1.ShowResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	resp, err := d.Show(ctx, &pkgv1.ShowRequest{})
	return resp, fail.Explain(err, d.place)
}

// explain turns the error of a call into one that also says what state the device is in and what to type next.
func (d *depot) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	explained := fail.Explain(err, d.place)
	if fail.Code(explained) != fail.Refused {
		return explained
	}
	return d.standing(ctx, explained)
}

// standing adds the device's state to a refusal that has no hint of its own. A device that does not say leaves it as it is.
func (d *depot) standing(ctx context.Context, err error) error {
	var refusal *fail.Error
	if !errors.As(err, &refusal) || refusal.Hint != "" {
		return err
	}
	resp, e := d.show(context.WithoutCancel(ctx))
	if e != nil {
		return err
	}
	refusal.Hint = situationOf(resp, time.Now()).words()
	return refusal
}

// situation is what the device is about, as an operator needs to know before the next command.
type situation struct {
	resp *pkgv1.ShowResponse
	now  time.Time
}

func situationOf(resp *pkgv1.ShowResponse, now time.Time) situation { return situation{resp, now} }

// running is the operation under way, nil if there is none.
func (s situation) running() *pkgv1.Operation {
	if op := s.resp.GetCurrent(); op.GetOutcome() == pkgv1.Outcome_OUTCOME_RUNNING {
		return op
	}
	return nil
}

// uncommitted are the members that differ from the committed generation, as "rib 1.1.0".
func (s situation) uncommitted() []string {
	committed := map[string]string{}
	for _, m := range s.committed().GetMembers() {
		committed[m.GetComponent()] = m.GetDigest()
	}
	var out []string
	for _, m := range s.resp.GetRunning() {
		if committed[m.GetComponent()] != m.GetDigest() {
			out = append(out, m.GetComponent()+" "+m.GetVersion())
		}
		delete(committed, m.GetComponent())
	}
	for _, name := range sorted(committed) {
		out = append(out, name+" removed")
	}
	return out
}

// committed is the generation that the device boots.
func (s situation) committed() *pkgv1.Generation {
	for _, g := range s.resp.GetGenerations() {
		if g.GetId() == s.resp.GetCommittedGeneration() {
			return g
		}
	}
	return nil
}

// left is how long an applied set has until it is taken back; "" when there is none.
func (s situation) left() string {
	if s.resp.GetRevertsAt() == nil {
		return ""
	}
	return age(s.resp.GetRevertsAt().AsTime().Sub(s.now))
}

// words say what runs, and what to type next.
func (s situation) words() string {
	text, more := s.standing()
	if !more {
		text += "; see `ashlar show install`"
	}
	return text
}

// standing says what runs, and what to type where something is to be done: then more is set.
func (s situation) standing() (text string, more bool) {
	if op := s.running(); op != nil {
		return fmt.Sprintf("operation %d (%s) is under way: follow it with `ashlar show install`, end it with `ashlar install abort`", op.GetId(), op.GetKind()), true
	}
	if left := s.left(); left != "" {
		return fmt.Sprintf("%s runs and is not committed; it is taken back in %s: `ashlar install commit` keeps it, `ashlar install abort` takes it back now",
			strings.Join(s.uncommitted(), ", "), left), true
	}
	if s.resp.GetCommittedGeneration() == 0 {
		return "the device was not installed from packages: stop it, then `pkgmgrd bootstrap --root ROOT --repository DIRECTORY`", true
	}
	text = fmt.Sprintf("the device runs generation %d, which is committed", s.resp.GetCommittedGeneration())
	if n := len(s.resp.GetPending().GetSteps()); n > 0 {
		return text + fmt.Sprintf("; %s pending: `ashlar install apply` carries it out, `ashlar install abort` drops it", count(n, "change is", "changes are")), true
	}
	return text, false
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// short is as much of a digest as tells packages apart.
func short(digest string) string {
	const digits = 12
	return digest[:min(digits, len(digest))]
}
