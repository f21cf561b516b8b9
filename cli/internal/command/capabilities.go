// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"strings"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
)

// offered is what capabilities prints for programs.
type offered struct {
	Version   string      `json:"gnmi_version"`
	Encodings []string    `json:"encodings"`
	Models    []modelInfo `json:"models"`
}

type modelInfo struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Organization string `json:"organization"`
}

func (s *session) capabilities() *cobra.Command {
	return &cobra.Command{
		Use:   "capabilities",
		Short: "Show the gNMI version, encodings and models of the device",
		Args:  between(0, 0, "no arguments"),
		RunE:  func(c *cobra.Command, _ []string) error { return s.runCapabilities(c.Context()) },
	}
}

func (s *session) runCapabilities(ctx context.Context) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.Close()
	client, place, err := d.GNMI()
	if err != nil {
		return err
	}
	var resp *gnmi.CapabilityResponse
	err = s.insist(ctx, d, func(ctx context.Context) (err error) {
		resp, err = client.Capabilities(ctx, &gnmi.CapabilityRequest{})
		return err
	})
	if err != nil {
		return fail.Explain(err, place)
	}
	out := offered{Version: resp.GetGNMIVersion(), Encodings: []string{}, Models: []modelInfo{}}
	for _, e := range resp.GetSupportedEncodings() {
		out.Encodings = append(out.Encodings, e.String())
	}
	g := render.Grid{Columns: []string{"MODEL", "VERSION", "ORGANIZATION"}}
	for _, m := range resp.GetSupportedModels() {
		out.Models = append(out.Models, modelInfo{m.GetName(), m.GetVersion(), m.GetOrganization()})
		g.Add(render.Text(m.GetName()), render.Text(m.GetVersion()), render.Text(m.GetOrganization()))
	}
	if s.format != render.Table {
		return s.writer().Data(out)
	}
	head := render.Grid{Columns: []string{"GNMI", "ENCODINGS"}}
	head.Add(render.Text(out.Version), render.Text(strings.Join(out.Encodings, " ")))
	if err := s.writer().Grid(head); err != nil {
		return err
	}
	return s.writer().Grid(g)
}
