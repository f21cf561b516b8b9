// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/flat"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

func (s *session) show() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the configuration and what the device does with it",
		Args:  cobra.ArbitraryArgs,
		RunE:  needSubcommand,

		SuggestionsMinimumDistance: suggestionDistance,
	}
	c.AddCommand(s.showConfig(), s.showInterfaces(), s.showComponents(), s.showRoutes(), s.showForwarding(), s.showNeighbors(), s.showInstall())
	return c
}

func (s *session) showConfig() *cobra.Command {
	return &cobra.Command{
		Use:   "running-config [PATH]",
		Short: "Show the configuration, as `ashlar set -f` takes it",
		Args:  between(0, 1, "at most one PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/"
			if len(args) > 0 {
				path = args[0]
			}
			return s.runShowConfig(c.Context(), path)
		},
	}
}

func (s *session) runShowConfig(ctx context.Context, path string) error {
	paths, err := parsePaths([]string{path})
	if err != nil {
		return err
	}
	notifications, err := s.fetch(ctx, "config", paths)
	if err != nil {
		return err
	}
	return s.writer().RawJSON(whole(notifications))
}

// whole is the one value of an answer; an empty configuration is an empty object.
func whole(notifications []*gnmi.Notification) []byte {
	for _, n := range notifications {
		for _, u := range n.GetUpdate() {
			if v, err := flat.JSON(u.GetVal()); err == nil && json.Valid(v) {
				return v
			}
		}
	}
	return []byte("{}")
}

// tree is a list of the model by its entries' key: the leaves of each by their path below the entry.
type tree struct {
	order []string
	leafs map[string][]flat.Leaf
}

// list fetches a list of the model. An absent one is empty.
func (s *session) list(ctx context.Context, container, entry, key string) (*tree, error) {
	notifications, err := s.fetch(ctx, "all", []*gnmi.Path{gpath.MustParse("/" + container)})
	var refusal *fail.Error
	if errors.As(err, &refusal) && refusal.Absent {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	t := &tree{leafs: map[string][]flat.Leaf{}}
	for _, n := range notifications {
		for _, u := range n.GetUpdate() {
			leaves, err := flat.Leaves(flat.Join(n.GetPrefix(), u.GetPath()), u.GetVal())
			if err != nil {
				return nil, fail.Refusef("", "%v", err)
			}
			t.add(leaves, entry, key)
		}
	}
	return t, nil
}

func (t *tree) add(leaves []flat.Leaf, entry, key string) {
	for _, l := range leaves {
		name, ok := "", false
		if len(l.At.GetElem()) > 2 && l.At.Elem[1].GetName() == entry {
			name, ok = l.At.Elem[1].GetKey()[key]
		}
		if !ok {
			continue
		}
		if t.leafs[name] == nil {
			t.order = append(t.order, name)
		}
		l.Path = gpath.String(&gnmi.Path{Elem: l.At.Elem[2:]})
		t.leafs[name] = append(t.leafs[name], l)
	}
}

// value is the first of the paths that the entry has, "" if none.
func (t *tree) value(name string, paths ...string) string {
	for _, p := range paths {
		for _, l := range t.leafs[name] {
			if l.Path == p {
				return l.Value
			}
		}
	}
	return ""
}

// address writes an address of 4 or 16 bytes.
func address(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return a.String()
}

// prefix writes an address and a length.
func prefix(b []byte, length uint32) string { return fmt.Sprintf("%s/%d", address(b), length) }

// collect reads a stream to its end.
func collect[T any](stream grpc.ServerStreamingClient[T], err error, each func(*T)) error {
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		each(m)
	}
}

// family turns the flags -4 and -6 into the contracts' family.
func family(four, six bool) uint32 {
	switch {
	case four && !six:
		return 4
	case six && !four:
		return 6
	}
	return 0
}
