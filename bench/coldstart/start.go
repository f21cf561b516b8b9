// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/ashlar-nos/ashlar/bench/internal/router"
	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/ashlar-nos/ashlar/lab/ping"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

const (
	// startLimit bounds one cold start.
	startLimit = 60 * time.Second
	// askers and apart give the answer's time its resolution: each asks every 200 ms, apart from each other.
	askers = 20
	apart  = 10 * time.Millisecond
)

// start is how long one cold start took.
type start struct {
	ready, answer4, answer6 time.Duration
	components              map[string]time.Duration
}

// coldStart ends everything as a power cut would, takes away what the kernel would have lost with it, and
// starts the supervisor.
func coldStart(ctx context.Context, device *router.Router, build string) (s start, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := powerCut(ctx, device, build); err != nil {
		return s, err
	}
	begin := time.Now()
	if err := device.StartSupervisor(); err != nil {
		return s, err
	}
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := device.Device.WaitReady(within)
		s.ready = time.Since(begin)
		return err
	})
	for prefix, took := range map[netip.Prefix]*time.Duration{topology.Balanced4: &s.answer4, topology.Balanced6: &s.answer6} {
		g.Go(func() error {
			err := first(within, device.Topology.HostA, prefix.Addr().Next())
			*took = time.Since(begin)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return s, err
	}
	s.components = map[string]time.Duration{}
	for _, name := range device.Device.Components() {
		s.components[name] = time.Duration(device.Device.Status(name).GetReadyAfterMs()) * time.Millisecond
	}
	return s, nil
}

func powerCut(ctx context.Context, device *router.Router, build string) error {
	supervisor, err := device.Supervisor()
	if err != nil {
		return err
	}
	if err := device.Device.WaitReady(ctx); err != nil {
		return err
	}
	if err := device.Device.KillEverything(ctx, supervisor); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(build, "bin", "ashlard"), "clean", "--root", device.Device.Root).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ashlard clean: %w: %s", err, out)
	}
	return device.Topology.Device.Do(barePorts)
}

// barePorts takes from the ports what a reboot would: addresses, neighbours and the routes that follow.
func barePorts() error {
	var failed error
	for _, name := range topology.Ports() {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			failed = errors.Join(failed, netlink.AddrDel(link, &a))
		}
		failed = errors.Join(failed, netlink.LinkSetDown(link)) // its neighbours go with the carrier
	}
	return failed
}

// first asks an address behind host B from several sockets, and returns when one has its answer.
func first(ctx context.Context, from *netns.Namespace, to netip.Addr) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, askers)
	for i := range askers {
		go func() {
			wait := time.NewTimer(time.Duration(i) * apart)
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-ctx.Done():
				results <- ctx.Err()
				return
			}
			_, err := ping.Until(ctx, from, to)
			results <- err
		}()
	}
	var failed error
	for range askers {
		err := <-results
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

func sortedNames(m map[string][]float64) []string { return slices.Sorted(maps.Keys(m)) }
