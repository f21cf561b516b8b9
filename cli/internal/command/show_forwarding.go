// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
)

// dataplane returns the client of the dataplane; the device is the caller's to close.
func (s *session) dataplane() (*device.Device, dataplanev1.DataplaneClient, fail.Place, error) {
	d, err := s.open()
	if err != nil {
		return nil, nil, fail.Place{}, err
	}
	conn, place, err := d.Component("dataplane")
	if err != nil {
		return nil, nil, place, err
	}
	return d, dataplanev1.NewDataplaneClient(conn), place, nil
}

// forwardingInfo is an entry of the forwarding table as show prints it for programs.
type forwardingInfo struct {
	Prefix   string    `json:"prefix"`
	Action   string    `json:"action"`
	Group    uint32    `json:"group"`
	NextHops []hopData `json:"next_hops"`
}

type hopData struct {
	Address   string `json:"address,omitempty"`
	Interface string `json:"interface"`
	Weight    uint32 `json:"weight"`
	Resolved  bool   `json:"resolved"`
	Hardware  string `json:"hardware_address,omitempty"`
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`
}

func (s *session) showForwarding() *cobra.Command {
	var four, six, counters bool
	c := &cobra.Command{
		Use:   "forwarding [ADDRESS]",
		Short: "Show the forwarding table as packets see it",
		Long: `forwarding shows the table that packets see, read back from the kernel. With an ADDRESS it shows what happens to a
packet for it; with --counters the ports, drops and punts by reason, and how full the tables are.`,
		Args: between(0, 1, "at most one ADDRESS"),
		RunE: func(c *cobra.Command, args []string) error {
			if counters {
				return s.runShowCounters(c.Context())
			}
			return s.runShowForwarding(c.Context(), family(four, six), args)
		},
	}
	c.Flags().BoolVarP(&four, "ipv4", "4", false, "IPv4 only")
	c.Flags().BoolVarP(&six, "ipv6", "6", false, "IPv6 only")
	c.Flags().BoolVar(&counters, "counters", false, "show counters instead of routes")
	return c
}

func (s *session) runShowForwarding(ctx context.Context, family uint32, args []string) error {
	var lookup netip.Addr
	if len(args) > 0 {
		var err error
		if lookup, err = netip.ParseAddr(args[0]); err != nil {
			return fail.Usagef("%q is no address", args[0])
		}
	}
	d, client, place, err := s.dataplane()
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var routes []*dataplanev1.ForwardingRoute
	if lookup.IsValid() {
		var resp *dataplanev1.LookupResponse
		resp, err = client.Lookup(ctx, &dataplanev1.LookupRequest{Address: lookup.WithZone("").AsSlice()})
		if err == nil && resp.GetRoute() == nil {
			return fail.Refusef("see `ashlar show routes`", "no route for %s: such packets are left to the kernel", lookup)
		}
		routes = append(routes, resp.GetRoute())
	} else {
		stream, listErr := client.ListRoutes(ctx, &dataplanev1.ListRoutesRequest{Family: family})
		err = collect(stream, listErr, func(m *dataplanev1.ListRoutesResponse) { routes = append(routes, m.GetRoutes()...) })
	}
	if err != nil {
		return fail.Explain(err, place)
	}
	return s.printForwarding(routes)
}

func (s *session) printForwarding(routes []*dataplanev1.ForwardingRoute) error {
	g := render.Grid{Columns: []string{"PREFIX", "ACTION", "GROUP", "NEXT HOPS"}}
	data := []forwardingInfo{}
	for _, r := range routes {
		i := forwardingInfo{Prefix: column(r.GetPrefix()), Action: word(r.GetAction().String()), Group: r.GetGroup(), NextHops: []hopData{}}
		var texts []string
		for _, h := range r.GetNextHops() {
			i.NextHops = append(i.NextHops, hopData{address(h.GetAddress()), h.GetInterface(), max(h.GetWeight(), 1), h.GetResolved(), mac(h.GetHardwareAddress()), h.GetPackets(), h.GetBytes()})
			texts = append(texts, resolution(h))
		}
		data = append(data, i)
		g.Add(render.Text(i.Prefix), render.Text(i.Action), render.Textf("%d", i.Group), render.Text(strings.Join(texts, ", ")))
	}
	return s.writer().Answer(g, data)
}

func resolution(h *dataplanev1.ResolvedNextHop) string {
	text := hop(h.GetAddress(), h.GetInterface(), h.GetWeight())
	switch {
	case h.GetResolved():
		return text + " (" + mac(h.GetHardwareAddress()) + ")"
	case len(h.GetAddress()) > 0:
		return text + " (unresolved)"
	}
	return text
}

// column writes a prefix as the columns have it: the address, then the length in one byte.
func column(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return prefix(b[:len(b)-1], uint32(b[len(b)-1]))
}

func mac(b []byte) string { return net.HardwareAddr(b).String() }

// portInfo is a port of the dataplane as show prints it for programs.
type portInfo struct {
	Name       string `json:"name"`
	Attached   bool   `json:"attached"`
	Mode       string `json:"mode,omitempty"`
	Up         bool   `json:"up"`
	Reason     string `json:"reason,omitempty"`
	InPackets  uint64 `json:"in_packets"`
	InBytes    uint64 `json:"in_bytes"`
	OutPackets uint64 `json:"out_packets"`
	OutBytes   uint64 `json:"out_bytes"`
	Forwarded  uint64 `json:"forwarded_packets"`
	Punted     uint64 `json:"punted_packets"`
	Dropped    uint64 `json:"dropped_packets"`
}

func (s *session) runShowCounters(ctx context.Context) error {
	d, client, place, err := s.dataplane()
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	ports, err := client.ListPorts(ctx, &dataplanev1.ListPortsRequest{})
	if err != nil {
		return fail.Explain(err, place)
	}
	counters, err := client.GetCounters(ctx, &dataplanev1.GetCountersRequest{})
	if err != nil {
		return fail.Explain(err, place)
	}
	if s.format != render.Table {
		return s.writer().Data(map[string]any{
			"ports": portInfos(ports.GetPorts()), "drops": counters.GetDrops(), "punts": counters.GetPunts(),
			"forwarded_packets": counters.GetForwardedPackets(), "tables": usage(counters.GetTables()), "program": counters.GetProgram(),
			"adopted": counters.GetAdopted(), "audits": counters.GetAudits(), "repairs": counters.GetRepairs(),
		})
	}
	return s.printCounters(portInfos(ports.GetPorts()), counters)
}

func portInfos(ports []*dataplanev1.PortStatus) []portInfo {
	out := []portInfo{}
	for _, p := range ports {
		c := p.GetCounters()
		out = append(out, portInfo{
			p.GetName(), p.GetAttached(), p.GetMode(), p.GetUp(), p.GetReason(), c.GetInPackets(), c.GetInBytes(), c.GetOutPackets(), c.GetOutBytes(),
			c.GetForwardedPackets(), c.GetPuntedPackets(), c.GetDroppedPackets(),
		})
	}
	return out
}

func usage(tables []*dataplanev1.TableUsage) map[string]map[string]uint64 {
	out := map[string]map[string]uint64{}
	for _, t := range tables {
		out[t.GetName()] = map[string]uint64{"used": t.GetUsed(), "limit": t.GetLimit()}
	}
	return out
}

func (s *session) printCounters(ports []portInfo, c *dataplanev1.GetCountersResponse) error {
	p := render.Grid{Columns: []string{"PORT", "ATTACHED", "UP", "IN PACKETS", "OUT PACKETS", "FORWARDED", "PUNTED", "DROPPED", "REASON"}}
	for _, i := range ports {
		p.Add(render.Text(i.Name), yes(i.Attached, render.Bad), yes(i.Up, render.Bad), render.Textf("%d", i.InPackets), render.Textf("%d", i.OutPackets),
			render.Textf("%d", i.Forwarded), render.Textf("%d", i.Punted), render.Textf("%d", i.Dropped), render.Text(i.Reason))
	}
	reasons := render.Grid{Columns: []string{"REASON", "VERDICT", "PACKETS"}}
	reasons.Add(render.Text("-"), render.Text("forwarded"), render.Textf("%d", c.GetForwardedPackets()))
	for _, verdict := range []struct {
		name   string
		counts map[string]uint64
	}{{"punted", c.GetPunts()}, {"dropped", c.GetDrops()}} {
		for _, reason := range slices.Sorted(maps.Keys(verdict.counts)) {
			reasons.Add(render.Text(reason), render.Text(verdict.name), render.Textf("%d", verdict.counts[reason]))
		}
	}
	tables := render.Grid{Columns: []string{"TABLE", "USED", "LIMIT"}}
	for _, t := range c.GetTables() {
		tables.Add(render.Text(t.GetName()), render.Textf("%d", t.GetUsed()), render.Textf("%d", t.GetLimit()))
	}
	for i, g := range []render.Grid{p, reasons, tables} {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if err := s.writer().Grid(g); err != nil {
			return err
		}
	}
	return nil
}

// neighborInfo is an adjacency as show prints it for programs.
type neighborInfo struct {
	Interface string `json:"interface"`
	Address   string `json:"address"`
	Hardware  string `json:"hardware_address,omitempty"`
	State     string `json:"state"`
}

func (s *session) showNeighbors() *cobra.Command {
	return &cobra.Command{
		Use:   "neighbors",
		Short: "Show the adjacencies that the dataplane follows",
		Args:  between(0, 0, "no arguments"),
		RunE:  func(c *cobra.Command, _ []string) error { return s.runShowNeighbors(c.Context()) },
	}
}

func (s *session) runShowNeighbors(ctx context.Context) error {
	d, client, place, err := s.dataplane()
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	resp, err := client.ListNeighbors(ctx, &dataplanev1.ListNeighborsRequest{})
	if err != nil {
		return fail.Explain(err, place)
	}
	g := render.Grid{Columns: []string{"INTERFACE", "ADDRESS", "HARDWARE ADDRESS", "STATE"}}
	data := []neighborInfo{}
	for _, n := range resp.GetNeighbors() {
		i := neighborInfo{n.GetInterface(), address(n.GetAddress()), mac(n.GetHardwareAddress()), n.GetState()}
		data = append(data, i)
		g.Add(render.Text(i.Interface), render.Text(i.Address), render.Text(i.Hardware), render.Text(i.State))
	}
	return s.writer().Answer(g, data)
}
