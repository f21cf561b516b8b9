// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// slot is the place of one process of a component: a socket on which the supervisor alone talks to it, and a control
// group. There are two, so that a successor can run before its predecessor has ended.
type slot string

const (
	slotA slot = "a"
	slotB slot = "b"
)

// lifecycleName is what a process finds its slot's socket under.
const lifecycleName = "lifecycle"

// slots are all there are, the first choice first.
func slots() []slot { return []slot{slotA, slotB} }

// socket is the slot's own listening socket.
func (s slot) socket(component string) manifest.Socket {
	return manifest.Socket{Name: lifecycleName, Unix: component + ".life." + string(s) + ".sock", Mode: "0600"}
}

// group is the name of the slot's control group. No component can be called like the second.
func (s slot) group(component string) string {
	if s == slotB {
		return component + ".b"
	}
	return component
}

// recordedSlot reads a slot as the record has it.
func recordedSlot(text string) slot {
	if slot(text) == slotB {
		return slotB
	}
	return slotA
}

// socketsOf are the sockets of a component's process: those of its manifest, then its slot's.
func socketsOf(c generation.Component, s slot) []manifest.Socket {
	return append(append([]manifest.Socket(nil), c.Manifest.Sockets...), s.socket(c.Name()))
}
