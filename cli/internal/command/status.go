// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

// supervisorName is the component whose socket serves ashlar.supervisor.v1.
const supervisorName = fail.Supervisor

// componentInfo is a component as status prints it for programs.
type componentInfo struct {
	Name          string     `json:"name"`
	Version       string     `json:"version"`
	Phase         string     `json:"phase"`
	PID           int32      `json:"pid"`
	UID           uint32     `json:"uid"`
	Started       *time.Time `json:"started,omitempty"`
	UptimeSeconds float64    `json:"uptime_seconds"`
	ReadyAfterMS  uint32     `json:"ready_after_ms"`
	Crashes       uint64     `json:"crashes"`
	Restarts      uint64     `json:"restarts"`
	MemoryBytes   uint64     `json:"memory_bytes"`
	FencingToken  uint64     `json:"fencing_token"`
	Adopted       bool       `json:"adopted"`
	LastCause     string     `json:"last_cause,omitempty"`
	LastExit      string     `json:"last_exit,omitempty"`
	Reason        string     `json:"reason,omitempty"`
	Digest        string     `json:"digest,omitempty"`
	// Candidate is the version that stands beside the one that runs, Previous the one before a version on trial.
	Candidate string        `json:"candidate_version,omitempty"`
	Previous  string        `json:"previous_version,omitempty"`
	Reversal  *reversalInfo `json:"reversal,omitempty"`
}

func (s *session) status() *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the components: what runs, since when, and why something does not",
		Long: `status shows every component of the device, and an upgrade that is under way, not committed or was taken back. With --wait it first waits until all are ready, and returns 1 when that
takes longer.`,
		Args: between(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return s.runStatus(c.Context(), wait) },
	}
	c.Flags().DurationVar(&wait, "wait", 0, "wait so long for every component to be ready")
	return c
}

func (s *session) runStatus(ctx context.Context, wait time.Duration) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.Close()
	conn, place, err := d.Component(supervisorName)
	if err != nil {
		return err
	}
	client := supervisorv1.NewSupervisorClient(conn)
	var late error
	if wait > 0 {
		late = s.awaitReady(ctx, d, client, wait)
	}
	callCtx, cancel := s.bounded(ctx)
	defer cancel()
	resp, err := client.List(callCtx, &supervisorv1.ListRequest{})
	if err != nil {
		return fail.Explain(err, place)
	}
	if err := s.printStatus(resp, standingOf(ctx, d), time.Now()); err != nil {
		return err
	}
	return late
}

// awaitReady follows the supervisor until every component is ready. The supervisor itself may be
// started meanwhile.
func (s *session) awaitReady(ctx context.Context, d *device.Device, client supervisorv1.SupervisorClient, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		missing, err := watchUntilReady(ctx, client)
		if err == nil {
			return nil
		}
		// The server may find the deadline passed a moment before this side does.
		if ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded {
			return fail.Refusef("see the reasons above and `ashlar logs`", "not ready after %v: %s", wait, missing)
		}
		if status.Code(err) != codes.Unavailable && !errors.Is(err, io.EOF) {
			return fail.Refusef("", "%v", err)
		}
		timer := time.NewTimer(longestPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// watchUntilReady returns nil when all are ready, else why the watch ended and who was missing.
func watchUntilReady(ctx context.Context, client supervisorv1.SupervisorClient) (missing string, err error) {
	stream, err := client.Watch(ctx, &supervisorv1.WatchRequest{})
	if err != nil {
		return supervisorName, err
	}
	synced, unready := false, map[string]bool{}
	missing = supervisorName
	for {
		m, err := stream.Recv()
		if err != nil {
			return missing, err
		}
		synced = synced || m.GetSynced()
		if c := m.GetComponent(); c != nil {
			delete(unready, c.GetName())
			if c.GetPhase() != supervisorv1.Phase_PHASE_READY {
				unready[c.GetName()] = true
			}
		}
		if missing = names(unready); synced && missing == "" {
			return "", nil
		}
	}
}

// printStatus prints the components, and what goes on with their versions; shown may be nil.
func (s *session) printStatus(resp *supervisorv1.ListResponse, shown *pkgv1.ShowResponse, now time.Time) error {
	g := render.Grid{Columns: []string{"COMPONENT", "VERSION", "PHASE", "PID", "UPTIME", "READY AFTER", "CRASHES", "RESTARTS", "MEMORY", "REASON"}}
	data := struct {
		Version    string          `json:"supervisor_version"`
		Started    *time.Time      `json:"supervisor_started,omitempty"`
		Components []componentInfo `json:"components"`
		Install    *installInfo    `json:"install,omitempty"`
	}{Version: resp.GetSupervisorVersion(), Components: []componentInfo{}}
	if t := resp.GetSupervisorStarted(); t != nil {
		started := t.AsTime()
		data.Started = &started
		none := render.Text("")
		g.Add(render.Text(supervisorName), render.Text(data.Version), render.Cell{Text: "running", Mood: render.Good}, none,
			render.Text(age(now.Sub(started))), none, none, none, none, none)
	}
	for _, c := range resp.GetComponents() {
		i := info(c, now)
		data.Components = append(data.Components, i)
		g.Add(statusRow(c, i)...)
	}
	if shown != nil {
		i := situationOf(shown, now).info()
		data.Install = &i
	}
	if err := s.writer().Answer(g, data); err != nil || s.format != render.Table {
		return err
	}
	if notes := installNotes(resp, shown, now); len(notes) > 0 {
		_, err := fmt.Fprintf(s.Out, "\n%s\n", strings.Join(notes, "\n"))
		return err
	}
	return nil
}

func info(c *supervisorv1.ComponentStatus, now time.Time) componentInfo {
	i := componentInfo{
		Name: c.GetName(), Version: c.GetVersion(), Phase: word(c.GetPhase().String()), PID: c.GetPid(), UID: c.GetUid(),
		ReadyAfterMS: c.GetReadyAfterMs(), Crashes: c.GetCrashes(), Restarts: c.GetRestarts(), MemoryBytes: c.GetMemoryBytes(),
		FencingToken: c.GetFencingToken(), Adopted: c.GetAdopted(), LastExit: c.GetLastExit(), Reason: c.GetReason(),
		Digest: c.GetDigest(), Candidate: c.GetCandidate().GetVersion(), Previous: c.GetTrial().GetPreviousVersion(), Reversal: reversalOf(c.GetReversal()),
	}
	if c.GetLastCause() != supervisorv1.Cause_CAUSE_UNSPECIFIED {
		i.LastCause = word(c.GetLastCause().String())
	}
	if c.GetPid() != 0 && c.GetStarted() != nil {
		t := c.GetStarted().AsTime()
		i.Started, i.UptimeSeconds = &t, now.Sub(t).Seconds()
	}
	return i
}

// word is an enumeration's name without the enumeration's: PHASE_READY is "ready".
func word(name string) string {
	_, rest, _ := strings.Cut(name, "_")
	return strings.ToLower(strings.ReplaceAll(rest, "_", " "))
}

func statusRow(c *supervisorv1.ComponentStatus, i componentInfo) []render.Cell {
	mood := render.Waiting
	switch c.GetPhase() {
	case supervisorv1.Phase_PHASE_READY:
		mood = render.Good
	case supervisorv1.Phase_PHASE_BACKOFF, supervisorv1.Phase_PHASE_UNREADY, supervisorv1.Phase_PHASE_STOPPED:
		mood = render.Bad
	}
	row := []render.Cell{render.Text(i.Name), render.Text(i.Version), {Text: i.Phase, Mood: mood}, {}, {}, {},
		render.Textf("%d", i.Crashes), render.Textf("%d", i.Restarts), {}, render.Text(reason(c))}
	if i.Started != nil {
		row[3], row[4] = render.Textf("%d", i.PID), render.Text(age(time.Duration(i.UptimeSeconds*float64(time.Second))))
		row[8] = render.Text(size(i.MemoryBytes))
	}
	if i.ReadyAfterMS != 0 {
		row[5] = render.Textf("%d ms", i.ReadyAfterMS)
	}
	return row
}

// reason says why a component is not ready, and how its last process ended when it is about to be started again.
func reason(c *supervisorv1.ComponentStatus) string {
	text := c.GetReason()
	if c.GetPhase() == supervisorv1.Phase_PHASE_BACKOFF && c.GetLastExit() != "" && !strings.Contains(text, c.GetLastExit()) {
		text = strings.TrimPrefix(text+"; "+c.GetLastExit(), "; ")
	}
	if len(text) == 0 && c.GetPhase() == supervisorv1.Phase_PHASE_READY {
		return ""
	}
	return strings.ReplaceAll(text, "\n", " ")
}

// size is a number of bytes for people.
func size(n uint64) string {
	switch {
	case n == 0:
		return ""
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
}

// age is a duration for people: two units at most.
func age(d time.Duration) string {
	d = d.Round(time.Second)
	day := 24 * time.Hour
	switch {
	case d < 0:
		return "0s"
	case d < time.Hour:
		return d.String()
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}
