// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

// names joins the keys of a set in order.
func names(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}

// supervisor returns the client of the supervisor; the device is the caller's to close.
func (s *session) supervisor() (*device.Device, supervisorv1.SupervisorClient, fail.Place, error) {
	d, err := s.open()
	if err != nil {
		return nil, nil, fail.Place{}, err
	}
	conn, place, err := d.Component(supervisorName)
	if err != nil {
		return nil, nil, place, err
	}
	return d, supervisorv1.NewSupervisorClient(conn), place, nil
}

// completeComponents offers the names of components to the shell.
func (s *session) completeComponents(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	d, client, _, err := s.supervisor()
	if err != nil {
		return nil, none
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(c.Context(), time.Second)
	defer cancel()
	resp, err := client.List(ctx, &supervisorv1.ListRequest{})
	if err != nil {
		return nil, none
	}
	var out []string
	for _, i := range resp.GetComponents() {
		out = append(out, i.GetName())
	}
	return out, none
}

func (s *session) restart() *cobra.Command {
	return &cobra.Command{
		Use:   "restart COMPONENT",
		Short: "Drain a component and start it again; returns when it is ready",
		Args:  between(1, 1, "COMPONENT; `ashlar status` lists them"),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runRestart(c.Context(), args[0])
		},
		ValidArgsFunction: s.completeComponents,
	}
}

func (s *session) runRestart(ctx context.Context, component string) error {
	d, client, place, err := s.supervisor()
	if err != nil {
		return err
	}
	defer d.Close()
	// A restart takes a drain and a start; --timeout is for calls that take none.
	ctx, cancel := context.WithTimeout(ctx, max(s.timeout, time.Minute))
	defer cancel()
	resp, err := client.Restart(ctx, &supervisorv1.RestartRequest{Component: component})
	if err != nil {
		return fail.Explain(err, place)
	}
	return s.printStatus(&supervisorv1.ListResponse{Components: []*supervisorv1.ComponentStatus{resp.GetComponent()}}, nil, time.Now())
}

func (s *session) logs() *cobra.Command {
	r := &supervisorv1.LogsRequest{}
	c := &cobra.Command{
		Use:   "logs [COMPONENT]",
		Short: "Show what a component, or all of them, logged",
		Args:  between(0, 1, "at most one COMPONENT"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				r.Component = args[0]
			}
			return s.runLogs(c.Context(), r)
		},
		ValidArgsFunction: s.completeComponents,
	}
	c.Flags().BoolVarP(&r.Follow, "follow", "f", false, "go on with new lines until interrupted")
	c.Flags().Uint32VarP(&r.Tail, "tail", "n", 100, "begin with so many of the newest lines of each component")
	return c
}

func (s *session) runLogs(ctx context.Context, r *supervisorv1.LogsRequest) error {
	d, client, place, err := s.supervisor()
	if err != nil {
		return err
	}
	defer d.Close()
	stream, err := client.Logs(ctx, r)
	if err != nil {
		return fail.Explain(err, place)
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return fail.Explain(err, place)
		}
		if err := s.printLog(m); err != nil {
			return err
		}
	}
}

func (s *session) printLog(m *supervisorv1.LogsResponse) error {
	if s.format == render.Table {
		_, err := fmt.Fprintln(s.Out, s.logLine(m.GetComponent(), m.GetLine()))
		return err
	}
	var entry any
	if json.Unmarshal([]byte(m.GetLine()), &entry) != nil {
		entry = m.GetLine()
	}
	return s.writer().Line(map[string]any{"component": m.GetComponent(), "entry": entry})
}

// logLine writes a structured line for people: time, level, component, message, then the other attributes.
func (s *session) logLine(component, line string) string {
	w := s.writer()
	var entry map[string]any
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if d.Decode(&entry) != nil || entry["msg"] == nil {
		return fmt.Sprintf("%s  %s", component, line)
	}
	when := fmt.Sprint(entry["time"])
	if t, err := time.Parse(time.RFC3339Nano, when); err == nil {
		when = t.Local().Format("2006-01-02 15:04:05.000")
	}
	level := fmt.Sprint(entry["level"])
	parts := []string{w.Paint(when, render.Faint), w.Paint(fmt.Sprintf("%-5s", level), moodOf(level)), component, fmt.Sprint(entry["msg"])}
	for _, known := range []string{"time", "level", "msg", "component", "version"} {
		delete(entry, known)
	}
	for _, k := range slices.Sorted(maps.Keys(entry)) {
		parts = append(parts, w.Paint(k+"=", render.Faint)+attribute(entry[k]))
	}
	return strings.Join(parts, "  ")
}

func moodOf(level string) render.Mood {
	switch level {
	case "ERROR":
		return render.Bad
	case "WARN":
		return render.Waiting
	}
	return render.Plain
}

func attribute(v any) string {
	if text, ok := v.(string); ok && !strings.ContainsAny(text, " \t\n\"") {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
