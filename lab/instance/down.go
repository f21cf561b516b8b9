// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ashlar-nos/ashlar/lab/device"
	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/ashlar-nos/ashlar/lab/process"
	"github.com/ashlar-nos/ashlar/lab/topology"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"golang.org/x/sys/unix"
)

// ErrDown: there is no lab of that name.
var ErrDown = errors.New("this lab is not up")

// grace is how long the device gets to end by itself, and then to be dead.
const grace = 10 * time.Second

// Down ends a lab: processes, control groups, pins, links, namespaces and files, those that its record
// and its name lay claim to and no others. It goes on after an error, and fails if anything is left.
func Down(ctx context.Context, build, name string) error {
	p, err := placeOf(build, name)
	if err != nil {
		return err
	}
	r, err := p.read()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lab %s: %w", name, ErrDown)
	}
	if err != nil {
		return err
	}
	p.home, p.identity = r.Home, r.Identity
	ended := errors.Join(
		endSupervisor(ctx, r.Supervisor),
		clean(ctx, build, p.root()),
		endMarked(ctx, p.root()),
		topology.Destroy(p.identity),
		device.ReleaseHostname(p.hostname()),
	)
	if err := errors.Join(ended, p.leftovers()); err != nil {
		return err // the record stays, so that another Down can finish
	}
	return errors.Join(removeEnvironment(build, p, name), p.remove())
}

// endSupervisor lets the supervisor end its components in order, and kills it if it does not.
func endSupervisor(ctx context.Context, supervisor process.ID) error {
	if supervisor.PID == 0 {
		return nil
	}
	err := supervisor.Signal(unix.SIGTERM)
	if errors.Is(err, process.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if supervisor.Wait(within) == nil {
		return nil
	}
	within, cancel = context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return supervisor.Kill(within)
}

// clean lets the supervisor's own command take away what a dead device left.
func clean(ctx context.Context, build, root string) error {
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	out, err := exec.CommandContext(ctx, filepath.Join(build, "bin", "ashlard"), "clean", "--root", root).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ashlard clean: %w: %s", err, out)
	}
	return nil
}

// mark is in the environment of every process of the device.
func mark(root string) string { return layout.EnvRoot + "=" + root }

func endMarked(ctx context.Context, root string) error {
	strays, err := process.WithEnvironment(mark(root))
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for _, stray := range strays {
		err = errors.Join(err, stray.Kill(within))
	}
	return err
}

// leftovers names everything of the lab that is still on the machine.
func (p place) leftovers() error {
	var found []error
	left := func(format string, arguments ...any) {
		found = append(found, fmt.Errorf("left behind: "+format, arguments...))
	}
	strays, err := process.WithEnvironment(mark(p.root()))
	if err != nil {
		found = append(found, err)
	}
	for _, stray := range strays {
		left("process %d", stray.PID)
	}
	at, err := layout.New(p.root())
	if err != nil {
		return errors.Join(append(found, err)...)
	}
	for _, pattern := range []string{
		at.PinDir(),
		filepath.Join("/sys/fs/cgroup/*", at.ControlGroup()), // version 1: one tree for each controller
		filepath.Join("/sys/fs/cgroup", at.ControlGroup()),
		filepath.Join(netns.Directory, "ashlar-"+p.identity+"-*"),
		filepath.Join("/sys/class/net", topology.ManagementInterface(p.identity)),
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			found = append(found, err)
		}
		for _, match := range matches {
			left("%s", match)
		}
	}
	return errors.Join(found...)
}
