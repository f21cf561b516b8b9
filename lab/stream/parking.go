// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"net"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// parking keeps a program attached where no packet comes by. The kernel's XDP dispatcher has a branch for
// each attached program, and BPF_PROG_TEST_RUN adds one for a program that has none: two RCU grace
// periods, some 30 ms, for every call. A parked program has its branch.
type parking struct {
	lot      *netns.Namespace
	attached link.Link
}

func park(program *ebpf.Program) (*parking, error) {
	lot, err := netns.New()
	if err != nil {
		return nil, err
	}
	p := &parking{lot: lot}
	err = lot.Do(func() error {
		loopback, err := net.InterfaceByName("lo") // down, as in every new namespace
		if err != nil {
			return err
		}
		p.attached, err = link.AttachXDP(link.XDPOptions{
			Program:   program,
			Interface: loopback.Index,
			Flags:     link.XDPGenericMode,
		})
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("park program: %w", err), lot.Close())
	}
	return p, nil
}

// Close takes the program off.
func (p *parking) Close() error {
	return errors.Join(p.attached.Close(), p.lot.Close())
}
