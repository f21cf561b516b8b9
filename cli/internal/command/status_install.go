// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"time"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

// standingLimit bounds the question to the package manager: status is also for when it hangs.
const standingLimit = time.Second

// standingOf is what the package manager says of the device; nil when there is none, or when it does not answer.
func standingOf(ctx context.Context, d *device.Device) *pkgv1.ShowResponse {
	conn, _, err := d.Component(pkgmgrName)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, standingLimit)
	defer cancel()
	resp, err := pkgv1.NewPackagesClient(conn).Show(ctx, &pkgv1.ShowRequest{})
	if err != nil {
		return nil
	}
	return resp
}

// installNotes say what goes on with versions; nothing on a device that runs what it has committed.
func installNotes(resp *supervisorv1.ListResponse, shown *pkgv1.ShowResponse, now time.Time) []string {
	var out []string
	if shown != nil {
		s := situationOf(shown, now)
		if op := s.running(); op != nil {
			out = append(out, operationWords(op, now))
		}
		if s.running() != nil || s.left() != "" {
			out = append(out, s.words())
		}
	}
	for _, c := range resp.GetComponents() {
		out = append(out, componentNotes(c, now)...)
	}
	return out
}

// componentNotes say which other versions of a component there are, and what the supervisor did about one that failed.
func componentNotes(c *supervisorv1.ComponentStatus, now time.Time) []string {
	var out []string
	if n := c.GetCandidate(); n != nil {
		text := fmt.Sprintf("%s %s stands beside %s, ready to take over", c.GetName(), n.GetVersion(), c.GetVersion())
		if n.GetEnded() != "" {
			text = fmt.Sprintf("%s %s was to take over and ended: %s", c.GetName(), n.GetVersion(), n.GetEnded())
		}
		out = append(out, text)
	}
	if t := c.GetTrial(); t != nil {
		out = append(out, fmt.Sprintf("%s %s is on trial for %s; should it end by itself, %s runs again", c.GetName(), c.GetVersion(),
			age(now.Sub(t.GetSince().AsTime())), t.GetPreviousVersion()))
	}
	if r := c.GetReversal(); r != nil {
		out = append(out, fmt.Sprintf("%s: the supervisor went back from %s to %s %s ago: %s", c.GetName(), r.GetFromVersion(), r.GetToVersion(),
			age(now.Sub(r.GetAt().AsTime())), r.GetReason()))
	}
	return out
}

// reversalInfo is a return to an earlier version as status prints it for programs.
type reversalInfo struct {
	FromVersion string    `json:"from_version"`
	FromDigest  string    `json:"from_digest"`
	ToVersion   string    `json:"to_version"`
	Reason      string    `json:"reason"`
	At          time.Time `json:"at"`
}

func reversalOf(r *supervisorv1.Reversal) *reversalInfo {
	if r == nil {
		return nil
	}
	return &reversalInfo{r.GetFromVersion(), r.GetFromDigest(), r.GetToVersion(), r.GetReason(), r.GetAt().AsTime()}
}
