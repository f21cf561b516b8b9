// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

// screen shows progress: a line for each phase, on a terminal one line for each step that is drawn again.
type screen struct {
	s       *session
	journal *journal
	// redraw: the cursor stands behind the line of the step *drawn.
	redraw bool
	drawn  *uint32
	// last is the line that was printed last: the same readings again are no news.
	last *string
}

func (s *session) screen(j *journal) screen {
	return screen{s: s, journal: j, redraw: s.Terminal && s.format == render.Table, drawn: new(uint32), last: new(string)}
}

// progressInfo is a progress as it is printed for programs, one line each.
type progressInfo struct {
	Operation   uint64     `json:"operation"`
	Time        time.Time  `json:"time"`
	Step        uint32     `json:"step"`
	Steps       uint32     `json:"steps"`
	Component   string     `json:"component,omitempty"`
	FromVersion string     `json:"from_version,omitempty"`
	ToVersion   string     `json:"to_version,omitempty"`
	Phase       string     `json:"phase"`
	Message     string     `json:"message,omitempty"`
	Gates       []gateInfo `json:"gates,omitempty"`
	FrozenUS    uint64     `json:"frozen_us,omitempty"`
}

func (c screen) progress(p *pkgv1.Progress) error {
	if c.s.format != render.Table {
		return c.s.writer().Line(c.info(p))
	}
	line := c.line(p)
	if line == *c.last && !c.redraw || c.journal.over() && p.GetMessage() == "" {
		return nil // the outcome is told apart
	}
	*c.last = line
	if !c.redraw {
		_, err := fmt.Fprintln(c.s.Out, line)
		return err
	}
	if p.GetStep() != *c.drawn && *c.drawn != 0 {
		if _, err := fmt.Fprintln(c.s.Out); err != nil {
			return err
		}
	}
	*c.drawn = p.GetStep()
	_, err := io.WriteString(c.s.Out, "\r\x1b[K"+cut(line, c.s.Width))
	return err
}

// leave ends the line that was drawn.
func (c screen) leave() {
	if c.redraw && *c.drawn != 0 {
		fmt.Fprintln(c.s.Out)
		*c.drawn = 0
	}
}

// cut keeps a line on one row of the terminal; 0 is a terminal that does not say how wide it is.
func cut(line string, width int) string {
	runes := []rune(line)
	if width <= 0 || len(runes) < width {
		return line
	}
	return string(runes[:width-1])
}

func (c screen) info(p *pkgv1.Progress) progressInfo {
	step := c.journal.step(p)
	i := progressInfo{
		Operation: c.journal.operation, Time: p.GetTime().AsTime(), Step: p.GetStep(), Steps: p.GetSteps(), Component: p.GetComponent(),
		FromVersion: step.GetFromVersion(), ToVersion: step.GetToVersion(), Phase: p.GetPhase(), Message: p.GetMessage(), FrozenUS: p.GetFrozenUs(),
	}
	for _, g := range p.GetGates() {
		i.Gates = append(i.Gates, gateInfo{g.GetName(), g.GetValue(), g.GetMost(), g.GetMissing()})
	}
	return i
}

// line is for example "operation 7  step 1 of 2  rib 1.0.0 → 1.1.0  observe  packets lost 0  calls failed 0  frozen 3.1 ms".
func (c screen) line(p *pkgv1.Progress) string {
	parts := []string{fmt.Sprintf("operation %d", c.journal.operation)}
	if p.GetStep() > 0 {
		parts = append(parts, fmt.Sprintf("step %d of %d", p.GetStep(), p.GetSteps()))
	}
	if p.GetComponent() != "" {
		parts = append(parts, c.journal.change(p))
	}
	parts = append(parts, fmt.Sprintf("%-9s", p.GetPhase()))
	for _, g := range p.GetGates() {
		parts = append(parts, gateText(g))
	}
	if p.GetFrozenUs() > 0 {
		parts = append(parts, "frozen "+microseconds(p.GetFrozenUs()))
	}
	// With gates, the message is their readings in words.
	if p.GetMessage() != "" && len(p.GetGates()) == 0 {
		parts = append(parts, strings.ReplaceAll(p.GetMessage(), "\n", " "))
	}
	return strings.TrimRight(strings.Join(parts, "  "), " ")
}

func gateText(g *pkgv1.GateReading) string {
	switch {
	case g.GetMissing() != "":
		return fmt.Sprintf("%s unknown: %s", g.GetName(), g.GetMissing())
	case g.GetValue() > g.GetMost():
		return fmt.Sprintf("%s %d, allowed %d", g.GetName(), g.GetValue(), g.GetMost())
	}
	return fmt.Sprintf("%s %d", g.GetName(), g.GetValue())
}
