// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package instance is a whole lab: the network of lab/topology with a device in it, everything it needs
// below build/lab/<name>. Up makes one that outlives the process that made it; Down ends exactly what
// Up started and looks whether anything is left, after a crash as well.
//
// Labs are told apart by name and by the tree they were made from, so that any number stands side by
// side. One process at a time changes a lab.
package instance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ashlar-nos/ashlar/lab/device"
	"github.com/ashlar-nos/ashlar/lab/process"
	"github.com/ashlar-nos/ashlar/lab/topology"
)

// User is the device's first user.
const User = "admin"

// Lab is a lab that stands.
type Lab struct {
	Name     string
	Topology *topology.Topology
	Device   *device.Device
	// Password is the first user's.
	Password string

	build string
	place place
	// packages is nil when the device runs the trees that were built.
	packages *Packages
}

// ErrUp: there is a lab of that name already.
var ErrUp = errors.New("this lab is up already: take it down first")

// Up makes a lab from what was built below build, and returns when every component is ready. What was
// made before an error is taken away. Spare ports may be configured like the others, though there is no
// link of that name yet.
func Up(ctx context.Context, build, name string, spare ...string) (*Lab, error) {
	return (&Lab{Name: name, build: build}).up(ctx, spare)
}

func (l *Lab) up(ctx context.Context, spare []string) (*Lab, error) {
	var err error
	if l.place, err = placeOf(l.build, l.Name); err != nil {
		return nil, err
	}
	if _, err := l.place.read(); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("lab %s: %w", l.Name, ErrUp), err)
	}
	if err := l.make(ctx, spare); err != nil {
		l.Close()
		return nil, errors.Join(err, l.keepLogs(), Down(context.WithoutCancel(ctx), l.build, l.Name))
	}
	return l, nil
}

func (l *Lab) make(ctx context.Context, spare []string) error {
	if err := os.MkdirAll(l.place.directory, 0o755); err != nil {
		return err
	}
	r := record{Identity: l.place.identity, Home: l.place.home}
	if err := l.place.write(r); err != nil {
		return err
	}
	var err error
	if r.Generation, err = l.provide(ctx); err != nil {
		return err
	}
	if l.Topology, err = topology.Build(l.place.identity); err != nil {
		return err
	}
	if err := l.openDevice(r.Generation); err != nil {
		return err
	}
	if err := l.initialise(ctx, spare); err != nil {
		return err
	}
	if r.Supervisor, err = l.Device.Start(); err != nil {
		return err
	}
	if err := l.place.write(r); err != nil {
		return err
	}
	return l.Device.WaitReady(ctx)
}

// provide makes the place, and the generation that the device runs.
func (l *Lab) provide(ctx context.Context) (generation string, err error) {
	built, err := filepath.Abs(filepath.Join(l.build, "generation"))
	if err != nil {
		return "", err
	}
	if l.packages == nil {
		return l.place.prepare(built)
	}
	if _, err := l.place.prepare(l.packages.Repository); err != nil {
		return "", err
	}
	return l.install(ctx)
}

func (l *Lab) openDevice(generation string) (err error) {
	supervisor := l.program("ashlard")
	if l.packages != nil {
		supervisor = filepath.Join(generation, "supervisor", "bin", "ashlard")
	}
	l.Device, err = device.Open(device.Config{
		Namespace:  l.Topology.Device,
		Root:       l.place.root(),
		Generation: generation,
		Supervisor: supervisor,
		CLI:        l.CLI(),
		Hostname:   l.place.hostname(),
		Log:        l.place.log(),
	})
	return err
}

// initialise makes the CA, the first user and the list of ports.
func (l *Lab) initialise(ctx context.Context, spare []string) error {
	l.Password = rand.Text()
	if err := os.WriteFile(l.place.password(), []byte(l.Password+"\n"), 0o600); err != nil {
		return err
	}
	arguments := []string{
		"--user", User, "--password-file", l.place.password(),
		"--management", topology.ManagementPort,
		"--address", l.Topology.Management.Device.Addr().String(),
		"--gnmi-listen", l.Address(),
	}
	for _, port := range append(topology.Ports(), spare...) {
		arguments = append(arguments, "--port", port)
	}
	return l.Device.Initialise(ctx, arguments...)
}

// Supervisor is the supervisor that was started last.
func (l *Lab) Supervisor() (process.ID, error) {
	r, err := l.place.read()
	return r.Supervisor, err
}

// StartSupervisor starts the supervisor again, as an init does when it died.
func (l *Lab) StartSupervisor() error {
	r, err := l.place.read()
	if err != nil {
		return err
	}
	l.Device.Forget()
	if r.Supervisor, err = l.Device.Start(); err != nil {
		return err
	}
	return l.place.write(r)
}

// Build is the directory with what was built.
func (l *Lab) Build() string { return l.build }

// CLI is the path of `ashlar`.
func (l *Lab) CLI() string { return l.program("ashlar") }

func (l *Lab) program(name string) string {
	path, err := filepath.Abs(filepath.Join(l.build, "bin", name))
	if err != nil {
		return filepath.Join(l.build, "bin", name) // there is no working directory any more
	}
	return path
}

// Close stops looking at the lab, which goes on.
func (l *Lab) Close() (err error) {
	if l.Device != nil {
		err = l.Device.Close()
	}
	if l.Topology != nil {
		err = errors.Join(err, l.Topology.Close())
	}
	return err
}

// keepLogs copies the device's logs out of the way of Down, for somebody to find out what went wrong.
func (l *Lab) keepLogs() error {
	kept, err := filepath.Abs(filepath.Join(l.build, "lab", "logs-"+l.Name))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(kept); err != nil {
		return err
	}
	if l.Device != nil {
		if err := os.CopyFS(kept, os.DirFS(l.Device.Layout.LogDir())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	text, err := os.ReadFile(l.place.log())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(os.MkdirAll(kept, 0o755), os.WriteFile(filepath.Join(kept, "supervisor.stderr"), text, 0o644))
	}
	return errors.Join(fmt.Errorf("the device's logs are kept in %s", kept), err)
}

// KeepLogs copies the device's logs to build/lab/logs-<name> and says so as an error to be shown.
func (l *Lab) KeepLogs() error { return l.keepLogs() }
