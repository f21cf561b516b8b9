// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/flat"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// found is a value as get prints it for programs.
type found struct {
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

func (s *session) get() *cobra.Command {
	kind := "all"
	c := &cobra.Command{
		Use:   "get PATH...",
		Short: "Read configuration and state by gNMI",
		Long: `get reads what is at the paths: configuration, state or both.

As a table it prints one line for each leaf. As JSON or YAML it prints the value itself when one path without
wildcards was asked for, else a list of {"path", "value"}.

  ashlar get /system/config/hostname
  ashlar get /interfaces/interface[name=ge0]/state --output json
  ashlar get '/interfaces/interface[name=*]/state/oper-status'`,
		Args: between(1, -1, "PATH..."),
		RunE: func(c *cobra.Command, args []string) error { return s.runGet(c.Context(), kind, args) },
	}
	c.Flags().StringVarP(&kind, "type", "t", kind, "config, state or all")
	return c
}

func dataType(kind string) (gnmi.GetRequest_DataType, error) {
	switch kind {
	case "all":
		return gnmi.GetRequest_ALL, nil
	case "config":
		return gnmi.GetRequest_CONFIG, nil
	case "state":
		return gnmi.GetRequest_STATE, nil
	case "operational":
		return gnmi.GetRequest_OPERATIONAL, nil
	}
	return 0, fail.Usagef("--type %q: want config, state or all", kind)
}

func parsePaths(texts []string) ([]*gnmi.Path, error) {
	out := make([]*gnmi.Path, len(texts))
	for i, text := range texts {
		var err error
		if out[i], err = gpath.Parse(text); err != nil {
			return nil, fail.Usagef("%v", err)
		}
	}
	return out, nil
}

func (s *session) runGet(ctx context.Context, kind string, args []string) error {
	paths, err := parsePaths(args)
	if err != nil {
		return err
	}
	notifications, err := s.fetch(ctx, kind, paths)
	if err != nil {
		return err
	}
	if s.format == render.Table {
		return s.printLeaves(notifications)
	}
	return s.printFound(notifications, len(paths) == 1 && !strings.Contains(args[0], gpath.Wildcard) && !strings.Contains(args[0], gpath.Deep))
}

// fetch is one Get.
func (s *session) fetch(ctx context.Context, kind string, paths []*gnmi.Path) ([]*gnmi.Notification, error) {
	t, err := dataType(kind)
	if err != nil {
		return nil, err
	}
	d, err := s.open()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	client, place, err := d.GNMI()
	if err != nil {
		return nil, err
	}
	var resp *gnmi.GetResponse
	err = s.insist(ctx, d, func(ctx context.Context) (err error) {
		resp, err = client.Get(ctx, &gnmi.GetRequest{Path: paths, Type: t, Encoding: gnmi.Encoding_JSON_IETF})
		return err
	})
	return resp.GetNotification(), fail.Explain(err, place)
}

func (s *session) printLeaves(notifications []*gnmi.Notification) error {
	g := render.Grid{Columns: []string{"PATH", "VALUE"}}
	for _, n := range notifications {
		for _, u := range n.GetUpdate() {
			leaves, err := flat.Leaves(flat.Join(n.GetPrefix(), u.GetPath()), u.GetVal())
			if err != nil {
				return fail.Refusef("", "%v", err)
			}
			for _, l := range leaves {
				g.Add(render.Text(l.Path), render.Text(l.Value))
			}
		}
	}
	return s.writer().Grid(g)
}

func (s *session) printFound(notifications []*gnmi.Notification, bare bool) error {
	all := []found{}
	for _, n := range notifications {
		for _, u := range n.GetUpdate() {
			v, err := flat.JSON(u.GetVal())
			if err != nil {
				return fail.Refusef("", "%v", err)
			}
			all = append(all, found{gpath.String(flat.Join(n.GetPrefix(), u.GetPath())), v})
		}
	}
	if bare && len(all) == 1 {
		return s.writer().RawJSON(all[0].Value)
	}
	return s.writer().Data(all)
}

// stamp is a gNMI timestamp, nanoseconds since the Unix epoch, for people.
func stamp(ns int64) string { return time.Unix(0, ns).Local().Format("15:04:05.000") }
