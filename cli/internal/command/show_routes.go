// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	ribv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
)

// routeInfo is a path of a route as show prints it for programs.
type routeInfo struct {
	Prefix    string   `json:"prefix"`
	Protocol  string   `json:"protocol"`
	Distance  uint32   `json:"distance"`
	Metric    uint32   `json:"metric"`
	Best      bool     `json:"best"`
	Installed bool     `json:"installed"`
	Drop      bool     `json:"drop"`
	NextHops  []string `json:"next_hops"`
	Resolved  []string `json:"resolved_next_hops"`
	Reason    string   `json:"reason,omitempty"`
}

func (s *session) showRoutes() *cobra.Command {
	var four, six bool
	c := &cobra.Command{
		Use:   "routes [PREFIX | ADDRESS]",
		Short: "Show the routing table: every path, which is best, and whether it is in the forwarding table",
		Long: `routes shows the paths of every route. With a PREFIX it shows that and what it covers; with an ADDRESS the best
route for it.`,
		Args: between(0, 1, "at most one PREFIX or ADDRESS"),
		RunE: func(c *cobra.Command, args []string) error {
			return s.runShowRoutes(c.Context(), family(four, six), strings.Join(args, ""))
		},
	}
	c.Flags().BoolVarP(&four, "ipv4", "4", false, "IPv4 only")
	c.Flags().BoolVarP(&six, "ipv6", "6", false, "IPv6 only")
	return c
}

func (s *session) runShowRoutes(ctx context.Context, family uint32, within string) error {
	r := &ribv1.ListRequest{Family: family}
	single, err := parseWithin(within, r)
	if err != nil {
		return err
	}
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.Close()
	conn, place, err := d.Component("rib")
	if err != nil {
		return err
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	client := ribv1.NewRibClient(conn)
	var paths []*ribv1.Path
	if single != nil {
		var resp *ribv1.LookupResponse
		resp, err = client.Lookup(ctx, &ribv1.LookupRequest{Address: single})
		paths = append(paths, resp.GetPath())
	} else {
		stream, listErr := client.List(ctx, r)
		err = collect(stream, listErr, func(m *ribv1.ListResponse) { paths = append(paths, m.GetPaths()...) })
	}
	if err != nil {
		return fail.Explain(err, place)
	}
	return s.printRoutes(paths)
}

// parseWithin reads what limits the list: nothing, a prefix, or an address, which is returned.
func parseWithin(text string, r *ribv1.ListRequest) (single []byte, err error) {
	if text == "" {
		return nil, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return a.WithZone("").AsSlice(), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, fail.Usagef("%q is neither a prefix such as 192.0.2.0/24 nor an address", text)
	}
	r.Within = &ribv1.Prefix{Address: p.Masked().Addr().AsSlice(), Length: uint32(p.Bits())}
	return nil, nil
}

func (s *session) printRoutes(paths []*ribv1.Path) error {
	g := render.Grid{Columns: []string{"PREFIX", "PROTOCOL", "DISTANCE", "METRIC", "BEST", "INSTALLED", "NEXT HOPS", "REASON"}}
	data := []routeInfo{}
	for _, p := range paths {
		r := p.GetRoute()
		i := routeInfo{
			Prefix: prefix(r.GetPrefix().GetAddress(), r.GetPrefix().GetLength()), Protocol: p.GetProtocol(),
			Distance: r.GetDistance(), Metric: r.GetMetric(), Best: p.GetBest(), Installed: p.GetInstalled(), Drop: r.GetDrop(),
			NextHops: hops(r.GetNextHops()), Resolved: hops(p.GetResolved()), Reason: p.GetReason(),
		}
		data = append(data, i)
		g.Add(render.Text(i.Prefix), render.Text(i.Protocol), render.Textf("%d", i.Distance), render.Textf("%d", i.Metric),
			yes(i.Best, render.Plain), yes(i.Installed, installedMood(i)), render.Text(via(i)), render.Text(i.Reason))
	}
	return s.writer().Answer(g, data)
}

func installedMood(i routeInfo) render.Mood {
	if i.Best {
		return render.Bad
	}
	return render.Plain
}

// yes shows a truth; missing is the mood of its absence.
func yes(v bool, missing render.Mood) render.Cell {
	if v {
		return render.Cell{Text: "yes", Mood: render.Good}
	}
	return render.Cell{Text: "no", Mood: missing}
}

func hops(list []*ribv1.NextHop) []string {
	out := []string{}
	for _, h := range list {
		out = append(out, hop(h.GetAddress(), h.GetInterface(), h.GetWeight()))
	}
	return out
}

// hop writes a next hop: address, interface, and a weight that differs from 1.
func hop(addr []byte, link string, weight uint32) string {
	parts := []string{}
	if a := address(addr); a != "" {
		parts = append(parts, a)
	}
	if link != "" {
		parts = append(parts, "on "+link)
	}
	if weight > 1 {
		parts = append(parts, fmt.Sprintf("weight %d", weight))
	}
	return strings.Join(parts, " ")
}

// via shows where a route leads: what it resolves to, if that is known, else what it says.
func via(i routeInfo) string {
	switch {
	case i.Drop:
		return "drop"
	case len(i.Resolved) > 0:
		return strings.Join(i.Resolved, ", ")
	}
	return strings.Join(i.NextHops, ", ")
}
