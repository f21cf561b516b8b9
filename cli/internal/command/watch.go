// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/flat"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// watchFlags are the flags of watch.
type watchFlags struct {
	once, onChange, updatesOnly bool
	sample                      time.Duration
}

func (s *session) watch() *cobra.Command {
	var w watchFlags
	c := &cobra.Command{
		Use:   "watch PATH...",
		Short: "Follow configuration and state by gNMI",
		Long: `watch prints what is at the paths and then every change, until it is interrupted. When the device is not
available for a moment the subscription is made again, and the values as they are come again.

As a table it prints time, path and value; "deleted" stands for a value that is gone. As JSON it prints one object a line.

  ashlar watch /interfaces/interface[name=ge0]/state/oper-status
  ashlar watch --sample 1s '/interfaces/interface[name=*]/state/counters'
  ashlar watch --once /network-instances`,
		Args: between(1, -1, "PATH..."),
		RunE: func(c *cobra.Command, args []string) error { return s.runWatch(c.Context(), w, args) },
	}
	f := c.Flags()
	f.BoolVar(&w.once, "once", false, "print the values as they are and end")
	f.BoolVar(&w.onChange, "on-change", false, "print changes (the default)")
	f.DurationVar(&w.sample, "sample", 0, "print the values in this interval")
	f.BoolVar(&w.updatesOnly, "updates-only", false, "leave out the values as they are at the beginning")
	return c
}

func (w watchFlags) request(args []string) (*gnmi.SubscribeRequest, error) {
	if w.sample < 0 || w.sample > 0 && (w.once || w.onChange) || w.once && w.onChange {
		return nil, fail.Usagef("give one of --once, --on-change and --sample INTERVAL")
	}
	paths, err := parsePaths(args)
	if err != nil {
		return nil, err
	}
	list := &gnmi.SubscriptionList{Encoding: gnmi.Encoding_JSON_IETF, UpdatesOnly: w.updatesOnly}
	if w.once {
		list.Mode = gnmi.SubscriptionList_ONCE
	}
	for _, p := range paths {
		sub := &gnmi.Subscription{Path: p, Mode: gnmi.SubscriptionMode_ON_CHANGE}
		if w.sample > 0 {
			sub.Mode, sub.SampleInterval = gnmi.SubscriptionMode_SAMPLE, uint64(w.sample)
		}
		list.Subscription = append(list.Subscription, sub)
	}
	return &gnmi.SubscribeRequest{Request: &gnmi.SubscribeRequest_Subscribe{Subscribe: list}}, nil
}

func (s *session) runWatch(ctx context.Context, w watchFlags, args []string) error {
	r, err := w.request(args)
	if err != nil {
		return err
	}
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.Close()
	client, place, err := d.GNMI()
	if err != nil {
		return err
	}
	err = s.resubscribe(ctx, d, client, r)
	if ctx.Err() != nil {
		// An interrupt is how a watch ends.
		return nil
	}
	return fail.Explain(err, place)
}

// resubscribe subscribes again while the device is not available, for as long as --retry says after the
// last message.
func (s *session) resubscribe(ctx context.Context, d *device.Device, client gnmi.GNMIClient, r *gnmi.SubscribeRequest) error {
	last, pause := time.Now(), firstPause
	for {
		err := s.subscribe(ctx, client, r, func() { last, pause = time.Now(), firstPause })
		if err == nil || status.Code(err) != codes.Unavailable || !d.Present() || time.Since(last)+pause > s.retry {
			return err
		}
		if s.verbose {
			fmt.Fprintf(s.Err, "ashlar: subscribing again: %s\n", status.Convert(err).Message())
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, longestPause)
	}
}

// subscribe runs one subscription; alive is called with each message. nil is the end of a ONCE.
func (s *session) subscribe(ctx context.Context, client gnmi.GNMIClient, r *gnmi.SubscribeRequest, alive func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Subscribe(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(r); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	once := r.GetSubscribe().GetMode() == gnmi.SubscriptionList_ONCE
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && once:
			return nil
		case errors.Is(err, io.EOF):
			return status.Error(codes.Unavailable, "the device ended the subscription")
		case err != nil:
			return err
		}
		alive()
		if once && m.GetSyncResponse() {
			return nil
		}
		if err := s.printNotification(m.GetUpdate()); err != nil {
			return err
		}
	}
}

// change is a line of watch for programs.
type change struct {
	Timestamp int64           `json:"timestamp"`
	Path      string          `json:"path"`
	Value     json.RawMessage `json:"value,omitempty"`
	Deleted   bool            `json:"deleted,omitempty"`
}

func (s *session) printNotification(n *gnmi.Notification) error {
	w := s.writer()
	for _, p := range n.GetDelete() {
		path := gpath.String(flat.Join(n.GetPrefix(), p))
		if err := s.printChange(w, change{Timestamp: n.GetTimestamp(), Path: path, Deleted: true}, "deleted", render.Bad); err != nil {
			return err
		}
	}
	for _, u := range n.GetUpdate() {
		if err := s.printUpdate(w, n, u); err != nil {
			return fail.Refusef("", "%v", err)
		}
	}
	return nil
}

func (s *session) printUpdate(w render.Writer, n *gnmi.Notification, u *gnmi.Update) error {
	path := flat.Join(n.GetPrefix(), u.GetPath())
	if s.format != render.Table {
		v, err := flat.JSON(u.GetVal())
		if err != nil {
			return err
		}
		return w.Line(change{Timestamp: n.GetTimestamp(), Path: gpath.String(path), Value: v})
	}
	leaves, err := flat.Leaves(path, u.GetVal())
	if err != nil {
		return err
	}
	for _, l := range leaves {
		if err := s.printChange(w, change{Timestamp: n.GetTimestamp(), Path: l.Path}, l.Value, render.Plain); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) printChange(w render.Writer, c change, text string, mood render.Mood) error {
	if s.format != render.Table {
		return w.Line(c)
	}
	_, err := fmt.Fprintf(s.Out, "%s  %s  %s\n", w.Paint(stamp(c.Timestamp), render.Faint), c.Path, w.Paint(text, mood))
	return err
}
