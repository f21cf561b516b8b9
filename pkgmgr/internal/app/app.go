// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package app wires the supervisor together: it is the one place where its parts meet.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/cgroup"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/clean"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/exposure"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/handback"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/identity"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/logs"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/metrics"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/serve"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/sockets"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/token"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Options are the command line.
type Options struct {
	// Root relocates the device; "" or "/" is the machine itself.
	Root string
	// Generation is the directory of components to run.
	Generation string
	// Manifest is the supervisor's own component.yaml.
	Manifest []byte
	// Stderr gets the log beside its file.
	Stderr io.Writer
}

// Signals ask the supervisor to end.
type Signals struct {
	// Stop: drain and end every component first. Leave: leave them running for a successor.
	Stop, Leave <-chan struct{}
}

// app is a supervisor in operation.
type app struct {
	layout   layout.Layout
	manifest *manifest.Manifest
	started  time.Time
	log      *slog.Logger
	groups   *cgroup.Manager
	sockets  *sockets.Set
	tree     *tree.Tree
}

// Run supervises the device until a signal asks for its end. It refuses to start, with an error that
// says what to do, where it could not do its work; once it supervises, no error ends it.
func Run(o Options, signals Signals) error {
	started := time.Now()
	m, l, err := identify(o)
	if err != nil {
		return err
	}
	if err := makeDirectories(l, m.Name); err != nil {
		return err
	}
	lock, err := lockDevice(l, m.Name)
	if err != nil {
		return err
	}
	defer lock.Close()
	file, err := logs.Open(l.LogFile(m.Name))
	if err != nil {
		return err
	}
	defer file.Close()
	a := &app{layout: l, manifest: m, started: started, sockets: sockets.New(l.RunDir())}
	a.log = slog.New(slog.NewJSONHandler(io.MultiWriter(file, o.Stderr), nil)).With("component", m.Name, "version", m.Version)
	if err := a.prepare(o.Generation); err != nil {
		a.log.Error("does not start", "error", err)
		return err
	}
	return a.supervise(signals)
}

// identify finds out who and where this is.
func identify(o Options) (*manifest.Manifest, layout.Layout, error) {
	m, err := manifest.Parse(o.Manifest)
	if err != nil {
		return nil, layout.Layout{}, err
	}
	switch {
	case os.Geteuid() != 0:
		return nil, layout.Layout{}, errors.New("ashlard must run as root: it gives every component a user and capabilities of its own")
	case os.Getpid() == 1:
		return nil, layout.Layout{}, errors.New("ashlard must not be process 1: its death would take the whole namespace along; start it from an init")
	}
	l, err := layout.New(o.Root)
	return m, l, err
}

// prepare does all that can fail before anything is started.
func (a *app) prepare(dir string) error {
	g, err := generation.Load(dir, a.manifest)
	if err != nil {
		return err
	}
	if err := exposure.Place(a.layout.Init(), g); err != nil {
		return err
	}
	for _, w := range g.Warnings {
		a.log.Warn(w)
	}
	own := a.layout.ComponentState(a.manifest.Name)
	users, err := identity.Open(filepath.Join(own, "uids.json"))
	if err != nil {
		return err
	}
	if err := admit(a.layout, a.manifest, g, users); err != nil {
		return err
	}
	book, err := children.Open(filepath.Join(own, "children.json"))
	if err != nil {
		return err
	}
	tokens, err := token.Open(filepath.Join(own, "token"), book.HighestToken())
	if err != nil {
		return err
	}
	if a.groups, err = cgroup.Open(a.layout.ControlGroup()); err != nil {
		return err
	}
	if missing := a.groups.Missing(); len(missing) > 0 {
		a.log.Warn("the host lacks control group controllers, their limits are not enforced", "controllers", missing)
	}
	a.tree, err = tree.New(tree.Config{
		Generation: g, Layout: a.layout, Users: users, Tokens: tokens, Book: book,
		Sockets: a.sockets, Groups: a.groups, Log: a.log,
	})
	return err
}

// supervise serves and runs the tree until a signal ends it.
func (a *app) supervise(signals Signals) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	counted := metrics.New(a.tree.Status())
	server := serve.New(serve.Config{
		Tree: a.tree, Layout: a.layout, Manifest: a.manifest, Started: a.started,
		Stop: a.tree.Stop, Log: a.log, Count: counted.RPC,
	})
	back := &handback.Server{Path: a.layout.DescriptorSocket(), Expect: a.tree.Expect, Offer: a.sockets.Offer, Log: a.log}
	l, err := a.listenAll(back)
	if err != nil {
		return err
	}
	var side sync.WaitGroup
	side.Go(func() { back.Run(ctx, l.returned) })
	side.Go(func() { a.rotateLogs(ctx) })
	side.Go(func() { a.tellUnless(server.Serve(l.api), grpc.ErrServerStopped) })
	side.Go(func() { a.tellUnless(counted.Serve(l.metrics), http.ErrServerClosed) })
	side.Go(func() { a.obey(ctx, cancel, signals) })
	a.log.Info("supervising", "root", a.layout.Root, "pid", os.Getpid())
	a.tree.Run(ctx)
	left := ctx.Err() != nil
	server.Stop()
	counted.Close()
	cancel()
	side.Wait()
	a.finish(left)
	return nil
}

// listeners are the supervisor's own.
type listeners struct {
	returned     *net.UnixListener
	api, metrics net.Listener
}

func (a *app) listenAll(back *handback.Server) (l listeners, err error) {
	if l.returned, err = back.Listen(); err != nil {
		return l, err
	}
	if l.api, err = listen(a.layout, a.manifest, socketAPI); err != nil {
		l.returned.Close()
		return l, err
	}
	if l.metrics, err = listen(a.layout, a.manifest, socketMetrics); err != nil {
		l.returned.Close()
		l.api.Close()
	}
	return l, err
}

// tellUnless logs why a server ended, unless it was told to.
func (a *app) tellUnless(err, expected error) {
	if err != nil && !errors.Is(err, expected) {
		a.log.Error("one of the supervisor's sockets is not served", "error", err)
	}
}

// obey waits for the signal that ends the supervisor.
func (a *app) obey(ctx context.Context, cancel context.CancelFunc, signals Signals) {
	stop := signals.Stop
	for {
		select {
		case <-stop:
			a.log.Info("stopping every component")
			a.tree.Stop()
			stop = nil
		case <-signals.Leave:
			cancel()
			return
		case <-ctx.Done():
			return
		}
	}
}

// finish removes what a stopped device leaves behind; a device that goes on keeps it.
func (a *app) finish(left bool) {
	a.sockets.Close(!left)
	if left {
		a.log.Info("leaving the components running")
		return
	}
	if err := clean.Groups(a.groups); err != nil {
		a.log.Warn("control groups stay", "error", err)
	}
	os.Remove(a.layout.DescriptorSocket())
	for _, s := range a.manifest.Sockets {
		os.Remove(a.layout.Socket(s.Unix))
	}
	a.log.Info("stopped")
}

// logCheck is how often the size of the logs is looked at.
const logCheck = 5 * time.Second

func (a *app) rotateLogs(ctx context.Context) {
	tick := time.NewTicker(logCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := logs.Rotate(a.layout.LogDir(), logs.Limit); err != nil {
				a.log.Warn("logs were not rotated", "error", err)
			}
		}
	}
}

// Clean takes the device below root off the machine. Its state and logs stay.
func Clean(o Options) error {
	m, l, err := identify(o)
	if err != nil {
		return err
	}
	if err := makeDirectories(l, m.Name); err != nil {
		return err
	}
	lock, err := lockDevice(l, m.Name)
	if err != nil {
		return fmt.Errorf("%w; end it first", err)
	}
	defer lock.Close()
	record := filepath.Join(l.ComponentState(m.Name), "children.json")
	book, err := children.Open(record)
	if errors.Is(err, children.ErrDamaged) {
		book, err = nil, os.Rename(record, record+".damaged")
	}
	if err != nil {
		return err
	}
	groups, err := cgroup.Open(l.ControlGroup())
	if err != nil {
		return err
	}
	return clean.Device(l, book, groups)
}
