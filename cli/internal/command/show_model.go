// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/flat"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
)

// interfaceInfo is an interface as show prints it for programs.
type interfaceInfo struct {
	Name        string   `json:"name"`
	Admin       string   `json:"admin_status"`
	Oper        string   `json:"oper_status"`
	MTU         string   `json:"mtu,omitempty"`
	Addresses   []string `json:"addresses"`
	InPackets   string   `json:"in_packets,omitempty"`
	OutPackets  string   `json:"out_packets,omitempty"`
	InOctets    string   `json:"in_octets,omitempty"`
	OutOctets   string   `json:"out_octets,omitempty"`
	Discards    string   `json:"in_discards,omitempty"`
	Description string   `json:"description,omitempty"`
}

func (s *session) showInterfaces() *cobra.Command {
	return &cobra.Command{
		Use:   "interfaces",
		Short: "Show interfaces: status, addresses, counters",
		Args:  between(0, 0, "no arguments"),
		RunE:  func(c *cobra.Command, _ []string) error { return s.runShowInterfaces(c.Context()) },
	}
}

func (s *session) runShowInterfaces(ctx context.Context) error {
	t, err := s.list(ctx, "interfaces", "interface", "name")
	if err != nil {
		return err
	}
	g := render.Grid{Columns: []string{"INTERFACE", "ADMIN", "OPER", "MTU", "ADDRESSES", "IN PACKETS", "OUT PACKETS", "IN DISCARDS", "DESCRIPTION"}}
	data := []interfaceInfo{}
	for _, name := range t.order {
		i := interfaceInfo{
			Name: name, Admin: adminStatus(t, name), Oper: t.value(name, "/state/oper-status"),
			MTU: t.value(name, "/state/mtu", "/config/mtu"), Addresses: addresses(t.leafs[name]),
			InPackets: t.value(name, "/state/counters/in-pkts"), OutPackets: t.value(name, "/state/counters/out-pkts"),
			InOctets: t.value(name, "/state/counters/in-octets"), OutOctets: t.value(name, "/state/counters/out-octets"),
			Discards:    t.value(name, "/state/counters/in-discards"),
			Description: t.value(name, "/state/description", "/config/description"),
		}
		data = append(data, i)
		g.Add(render.Text(name), render.Text(i.Admin), render.Cell{Text: i.Oper, Mood: operMood(i.Oper)}, render.Text(i.MTU),
			render.Text(strings.Join(i.Addresses, " ")), render.Text(i.InPackets), render.Text(i.OutPackets), render.Text(i.Discards), render.Text(i.Description))
	}
	return s.writer().Answer(g, data)
}

// adminStatus is what the device reports, else what is configured.
func adminStatus(t *tree, name string) string {
	if v := t.value(name, "/state/admin-status"); v != "" {
		return v
	}
	switch t.value(name, "/config/enabled") {
	case "true":
		return "UP"
	case "false":
		return "DOWN"
	}
	return ""
}

func operMood(status string) render.Mood {
	switch status {
	case "UP", "ACTIVE":
		return render.Good
	case "":
		return render.Plain
	}
	return render.Bad
}

// addresses are those in effect, or configured where none are; "ip/length".
func addresses(leaves []flat.Leaf) []string {
	out := []string{}
	for _, branch := range []string{"/state/prefix-length", "/config/prefix-length"} {
		for _, l := range leaves {
			n := len(l.At.GetElem())
			if !strings.HasSuffix(l.Path, branch) || n < 3 || l.At.Elem[n-3].GetName() != "address" {
				continue
			}
			out = append(out, l.At.Elem[n-3].GetKey()["ip"]+"/"+l.Value)
		}
		if len(out) > 0 {
			break
		}
	}
	return out
}

// platformInfo is a component of the model as show prints it for programs.
type platformInfo struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Version     string `json:"software_version"`
	Oper        string `json:"oper_status"`
	Description string `json:"description,omitempty"`
}

func (s *session) showComponents() *cobra.Command {
	return &cobra.Command{
		Use:   "components",
		Short: "Show the platform's components and their versions, as the model has them",
		Args:  between(0, 0, "no arguments"),
		RunE:  func(c *cobra.Command, _ []string) error { return s.runShowComponents(c.Context()) },
	}
}

func (s *session) runShowComponents(ctx context.Context) error {
	t, err := s.list(ctx, "components", "component", "name")
	if err != nil {
		return err
	}
	g := render.Grid{Columns: []string{"COMPONENT", "TYPE", "VERSION", "OPER", "DESCRIPTION"}}
	data := []platformInfo{}
	for _, name := range t.order {
		kind := t.value(name, "/state/type")
		if _, bare, ok := strings.Cut(kind, ":"); ok {
			kind = bare
		}
		oper := t.value(name, "/state/oper-status")
		if _, bare, ok := strings.Cut(oper, ":"); ok {
			oper = bare
		}
		i := platformInfo{name, kind, t.value(name, "/state/software-version"), oper, t.value(name, "/state/description")}
		data = append(data, i)
		g.Add(render.Text(name), render.Text(i.Type), render.Text(i.Version), render.Cell{Text: i.Oper, Mood: operMood(i.Oper)}, render.Text(i.Description))
	}
	return s.writer().Answer(g, data)
}
