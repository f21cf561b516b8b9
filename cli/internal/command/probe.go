// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	hostv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
)

// host returns the client of the host component; the device is the caller's to close.
func (s *session) host() (*device.Device, hostv1.HostClient, fail.Place, error) {
	d, err := s.open()
	if err != nil {
		return nil, nil, fail.Place{}, err
	}
	conn, place, err := d.Component("host")
	if err != nil {
		return nil, nil, place, err
	}
	return d, hostv1.NewHostClient(conn), place, nil
}

func (s *session) ping() *cobra.Command {
	r := &hostv1.PingRequest{}
	var interval, wait time.Duration
	c := &cobra.Command{
		Use:   "ping DESTINATION",
		Short: "Send ICMP echo requests from the device",
		Long:  "ping sends ICMP echo requests from the device and returns 1 when nothing came back.",
		Args:  between(1, 1, "DESTINATION, an address or a name"),
		RunE: func(c *cobra.Command, args []string) error {
			if r.GetCount() == 0 {
				return fail.Usagef("--count 0: want 1 or more")
			}
			r.Destination = args[0]
			r.Interval, r.Wait = optional(interval), optional(wait)
			return s.runPing(c.Context(), r)
		},
	}
	f := c.Flags()
	f.Uint32VarP(&r.Count, "count", "c", 5, "how many requests")
	f.DurationVarP(&interval, "interval", "i", 0, "between requests (default 1s)")
	f.Uint32VarP(&r.Size, "size", "s", 56, "bytes of payload")
	f.StringVar(&r.Source, "source", "", "source address")
	f.DurationVar(&wait, "wait", 0, "for each answer (default 2s)")
	return c
}

func optional(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func (s *session) runPing(ctx context.Context, r *hostv1.PingRequest) error {
	d, client, place, err := s.host()
	if err != nil {
		return err
	}
	defer d.Close()
	stream, err := client.Ping(ctx, r)
	if err != nil {
		return fail.Explain(err, place)
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return fail.Refusef("", "the device ended the ping without a summary")
		case err != nil:
			return fail.Explain(err, place)
		}
		if sum := m.GetSummary(); sum != nil {
			return s.printSummary(r.GetDestination(), sum)
		}
		if err := s.printReply(m.GetReply()); err != nil {
			return err
		}
	}
}

// replyInfo is an answer as ping prints it for programs.
type replyInfo struct {
	Sequence    uint32  `json:"sequence"`
	Source      string  `json:"source,omitempty"`
	Bytes       uint32  `json:"bytes,omitempty"`
	RoundTripMS float64 `json:"round_trip_ms,omitempty"`
	Error       string  `json:"error,omitempty"`
}

func (s *session) printReply(r *hostv1.PingReply) error {
	w := s.writer()
	i := replyInfo{r.GetSequence(), r.GetSource(), r.GetBytes(), milliseconds(r.GetRoundTrip()), r.GetError()}
	if s.format != render.Table {
		return w.Line(i)
	}
	var err error
	switch {
	case i.Error != "":
		_, err = fmt.Fprintf(s.Out, "%d: %s\n", i.Sequence, w.Paint(i.Error, render.Bad))
	case i.Source == "":
		_, err = fmt.Fprintf(s.Out, "%d: %s\n", i.Sequence, w.Paint("no answer", render.Bad))
	default:
		_, err = fmt.Fprintf(s.Out, "%d: %d bytes from %s, %.3f ms\n", i.Sequence, i.Bytes, i.Source, i.RoundTripMS)
	}
	return err
}

func milliseconds(d *durationpb.Duration) float64 {
	return float64(d.AsDuration().Microseconds()) / 1000
}

// printSummary leaves the times out when nothing came back: there are none.
func (s *session) printSummary(destination string, sum *hostv1.PingSummary) error {
	line := map[string]any{"destination": destination, "sent": sum.GetSent(), "received": sum.GetReceived()}
	text := fmt.Sprintf("%s: %d sent, %d received", destination, sum.GetSent(), sum.GetReceived())
	if sum.GetReceived() > 0 {
		lowest, mean, highest := milliseconds(sum.GetMinimum()), milliseconds(sum.GetAverage()), milliseconds(sum.GetMaximum())
		line["minimum_ms"], line["average_ms"], line["maximum_ms"] = lowest, mean, highest
		text += fmt.Sprintf(", round trip min/avg/max %.3f/%.3f/%.3f ms", lowest, mean, highest)
	}
	if sum.GetExplanation() != "" {
		line["explanation"] = sum.GetExplanation()
	}
	var err error
	if s.format != render.Table {
		err = s.writer().Line(line)
	} else {
		_, err = fmt.Fprintln(s.Out, text)
	}
	if err == nil && sum.GetReceived() == 0 {
		return unanswered(destination, sum.GetExplanation())
	}
	return err
}

func unanswered(destination, explanation string) error {
	if explanation == "" {
		return fail.Refusef("see `ashlar show routes` and `ashlar show neighbors`", "%s does not answer", destination)
	}
	return fail.Refusef("see `ashlar show routes` and `ashlar show neighbors`", "%s does not answer: %s", destination, explanation)
}

func (s *session) traceroute() *cobra.Command {
	r := &hostv1.TracerouteRequest{}
	var wait time.Duration
	c := &cobra.Command{
		Use:   "traceroute DESTINATION",
		Short: "Show the hops from the device to a destination",
		Long:  "traceroute shows the hops from the device to a destination and returns 1 when it was not reached.",
		Args:  between(1, 1, "DESTINATION, an address or a name"),
		RunE: func(c *cobra.Command, args []string) error {
			if r.GetMaxHops() == 0 {
				return fail.Usagef("--max-hops 0: want 1 or more")
			}
			r.Destination, r.Wait = args[0], optional(wait)
			return s.runTraceroute(c.Context(), r)
		},
	}
	c.Flags().Uint32VarP(&r.MaxHops, "max-hops", "m", 30, "give up after so many hops")
	c.Flags().DurationVar(&wait, "wait", 0, "for each answer (default: the device's)")
	c.Flags().StringVar(&r.Source, "source", "", "source address")
	return c
}

func (s *session) runTraceroute(ctx context.Context, r *hostv1.TracerouteRequest) error {
	d, client, place, err := s.host()
	if err != nil {
		return err
	}
	defer d.Close()
	stream, err := client.Traceroute(ctx, r)
	if err != nil {
		return fail.Explain(err, place)
	}
	reached := false
	for {
		hop, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail.Explain(err, place)
		}
		reached = reached || hop.GetReached()
		if err := s.printHop(hop); err != nil {
			return err
		}
	}
	if !reached {
		return fail.Refusef("", "%s was not reached", r.GetDestination())
	}
	return nil
}

// hopInfo is a hop as traceroute prints it for programs.
type hopInfo struct {
	Hop         uint32  `json:"hop"`
	Source      string  `json:"source,omitempty"`
	RoundTripMS float64 `json:"round_trip_ms,omitempty"`
	Reached     bool    `json:"reached"`
	Error       string  `json:"error,omitempty"`
}

func (s *session) printHop(h *hostv1.TracerouteResponse) error {
	i := hopInfo{h.GetHop(), h.GetSource(), milliseconds(h.GetRoundTrip()), h.GetReached(), h.GetError()}
	if s.format != render.Table {
		return s.writer().Line(i)
	}
	text := "*"
	if i.Source != "" {
		text = fmt.Sprintf("%s  %.3f ms", i.Source, i.RoundTripMS)
	}
	if i.Error != "" {
		text += "  " + i.Error
	}
	_, err := fmt.Fprintf(s.Out, "%2d  %s\n", i.Hop, text)
	return err
}
