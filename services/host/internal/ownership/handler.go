// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package ownership is the host's part of a configuration commit: /system/config.
package ownership

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/host/internal/hostname"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

// Pattern is what the handler owns, as one object.
const Pattern = "/system/config"

// Handler is an owner.Handler and an owner.Observer. The kit calls these from one goroutine.
type Handler struct {
	keeper *hostname.Keeper
	// told is called when a change is in effect.
	told func()
	// observed is the name that would be wanted, by a snapshot that nobody put into effect.
	observed atomic.Pointer[string]
}

// New returns a handler. told is called after each change that came into effect.
func New(k *hostname.Keeper, told func()) *Handler { return &Handler{keeper: k, told: told} }

// Prepare implements owner.Handler.
func (h *Handler) Prepare(_ context.Context, c owner.Change) error {
	_, err := parse(c.Desired)
	return err
}

// Commit implements owner.Handler.
func (h *Handler) Commit(_ context.Context, c owner.Change) error {
	name, err := parse(c.Desired)
	if err != nil {
		return err
	}
	if err := h.keeper.Want(name); err != nil {
		return refuse("/hostname", codes.Internal, "%v", err)
	}
	h.told()
	return nil
}

// Restore implements owner.Handler. What fails now is tried again by the keeper.
func (h *Handler) Restore(_ context.Context, s owner.Snapshot) []error {
	name, err := parse(s.Objects)
	if err != nil {
		return []error{err}
	}
	defer h.told()
	if err := h.keeper.Insist(name); err != nil {
		return []error{refuse("/hostname", codes.Internal, "%v", err)}
	}
	return nil
}

// Observe implements owner.Observer. What cannot be read is as if it were not there, as in Restore.
func (h *Handler) Observe(_ context.Context, s owner.Snapshot) {
	name, _ := parse(s.Objects)
	h.observed.Store(&name)
}

// Observed is the name that would be wanted, "" for the one that was found; false before a snapshot came.
func (h *Handler) Observed() (string, bool) {
	if name := h.observed.Load(); name != nil {
		return *name, true
	}
	return "", false
}

// parse reads the host name; "" when none is configured.
func parse(objects map[string]owner.Object) (string, error) {
	o, ok := objects[Pattern]
	if !ok {
		return "", nil
	}
	var members map[string]any
	dec := json.NewDecoder(bytes.NewReader(o.New))
	if err := dec.Decode(&members); err != nil {
		return "", refuse("", codes.InvalidArgument, "the value is no JSON object: %v", err)
	}
	name := ""
	for _, key := range slices.Sorted(maps.Keys(members)) {
		bare := key[strings.LastIndexByte(key, ':')+1:]
		text, isText := members[key].(string)
		switch {
		case bare != "hostname":
			return "", refuse("/"+bare, codes.InvalidArgument, "Ashlar does not implement this")
		case !isText:
			return "", refuse("/hostname", codes.InvalidArgument, "the value is not a string")
		}
		if err := hostname.Check(text); err != nil {
			return "", refuse("/hostname", codes.InvalidArgument, "%v", err)
		}
		name = text
	}
	return name, nil
}

func refuse(below string, code codes.Code, format string, args ...any) error {
	path, err := gpath.Parse(Pattern + below)
	if err != nil {
		path = gpath.MustParse(Pattern)
	}
	return owner.Refuse(path, code, "%s", fmt.Sprintf(format, args...))
}
