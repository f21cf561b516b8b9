// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package device runs one Ashlar device in a network namespace, as a machine's init would: it starts the
// supervisor and nothing else, and watches what the supervisor says. It also does what no init does:
// it kills whatever it is told to, and measures how long the device takes to stand again.
//
// A Device is safe for concurrent use. The device itself outlives it: Close only stops watching.
package device

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/ashlar-nos/ashlar/lab/process"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// Config says what to run where.
type Config struct {
	// Namespace is the device's network.
	Namespace *netns.Namespace
	// Root is the directory below which the device keeps everything.
	Root string
	// Generation is the directory of components; Supervisor and CLI are the programs `ashlard` and `ashlar`.
	Generation, Supervisor, CLI string
	// Hostname is the file that holds the device's UTS namespace, made if it is not there.
	Hostname string
	// Log receives what the supervisor prints.
	Log string
}

// Device is a device that may run.
type Device struct {
	Config
	Layout     layout.Layout
	components []string
	view       *view
}

// Open looks at a device without starting anything.
func Open(config Config) (*Device, error) {
	place, err := layout.New(config.Root)
	if err != nil {
		return nil, err
	}
	components, err := componentsOf(config.Generation)
	if err != nil {
		return nil, err
	}
	d := &Device{Config: config, Layout: place, components: components}
	if d.view, err = watch(place.Socket(supervisorSocket)); err != nil {
		return nil, err
	}
	return d, nil
}

// supervisorSocket is the supervisor's API in the run directory.
const supervisorSocket = "supervisor.sock"

// supervisorName is the supervisor's own directory in a generation that was installed from packages.
const supervisorName = "supervisor"

// componentsOf lists a generation: the directories that hold a manifest, but for the supervisor's.
func componentsOf(generation string) ([]string, error) {
	manifests, err := filepath.Glob(filepath.Join(generation, "*", "component.yaml"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range manifests {
		if name := filepath.Base(filepath.Dir(file)); name != supervisorName {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no component in %s: run `make build`", generation)
	}
	return names, nil
}

// Components are the names of the generation's components, in alphabetical order.
func (d *Device) Components() []string { return slices.Clone(d.components) }

// Initialise runs `ashlar init` on the empty root.
func (d *Device) Initialise(ctx context.Context, arguments ...string) error {
	if err := os.MkdirAll(d.Root, 0o755); err != nil {
		return err
	}
	init := exec.CommandContext(ctx, d.CLI, append([]string{"init", "--root", d.Root}, arguments...)...)
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("ashlar init: %w: %s", err, out)
	}
	return nil
}

// Start starts the supervisor and returns at once. The supervisor outlives this process.
func (d *Device) Start() (process.ID, error) {
	log, err := os.OpenFile(d.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return process.ID{}, err
	}
	defer log.Close()
	supervisor := exec.Command(d.Supervisor, "--root", d.Root, "--generation", d.Generation)
	supervisor.Stdout, supervisor.Stderr = log, log
	if err := d.startOwnHostname(supervisor); err != nil {
		return process.ID{}, fmt.Errorf("start supervisor: %w", err)
	}
	id, err := process.Identify(supervisor.Process.Pid)
	go supervisor.Wait() // so that it leaves no zombie while this process lives
	if err != nil {
		return process.ID{}, fmt.Errorf("the supervisor ended at once, see %s: %w", d.Log, err)
	}
	return id, nil
}

// WaitReady returns when every component is ready, or with ctx's error and what is missing.
func (d *Device) WaitReady(ctx context.Context) error {
	err := d.view.until(ctx, func(components status) bool {
		return !slices.ContainsFunc(d.components, func(name string) bool { return !components.ready(name) })
	})
	if err != nil {
		return errors.Join(fmt.Errorf("the device is not ready: %w", err), d.missing())
	}
	return nil
}

// missing says in words what is not ready.
func (d *Device) missing() error {
	now := d.view.now()
	var all []error
	for _, name := range d.components {
		c := now[name]
		switch {
		case c == nil:
			all = append(all, fmt.Errorf("%s: the supervisor says nothing", name))
		case c.GetPhase() != supervisorv1.Phase_PHASE_READY:
			all = append(all, fmt.Errorf("%s: %s %s %s", name, c.GetPhase(), c.GetReason(), c.GetLastExit()))
		}
	}
	return errors.Join(all...)
}

// Status is what the supervisor said last about a component; nil when it has said nothing.
func (d *Device) Status(name string) *supervisorv1.ComponentStatus { return d.view.now()[name] }

// Kill sends a component SIGKILL and returns how long it took until its successor was ready.
func (d *Device) Kill(ctx context.Context, name string) (time.Duration, error) {
	if err := d.view.until(ctx, func(components status) bool { return components.ready(name) }); err != nil {
		return 0, fmt.Errorf("%s is not there to be killed: %w", name, err)
	}
	victim, err := process.Identify(int(d.Status(name).GetPid()))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	begin := time.Now()
	if err := victim.Kill(ctx); err != nil {
		return 0, err
	}
	err = d.view.until(ctx, func(components status) bool {
		return components.ready(name) && int(components[name].GetPid()) != victim.PID
	})
	if err != nil {
		return 0, errors.Join(fmt.Errorf("%s did not come back: %w", name, err), d.missing())
	}
	return time.Since(begin), nil
}

// KillEverything sends SIGKILL to the supervisor and then to every component, and returns when all have ended.
func (d *Device) KillEverything(ctx context.Context, supervisor process.ID) error {
	all := []process.ID{supervisor}
	for _, name := range d.components {
		victim, err := process.Identify(int(d.Status(name).GetPid()))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, victim)
	}
	for _, victim := range all {
		if err := victim.Kill(ctx); err != nil {
			return err
		}
	}
	d.view.forget()
	return nil
}

// Forget drops what the supervisor said, before a new one speaks.
func (d *Device) Forget() { d.view.forget() }

// Close stops watching.
func (d *Device) Close() error { return d.view.close() }
