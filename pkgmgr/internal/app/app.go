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

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/bequest"
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
	// Generation is the directory of components to run; "" is the committed one.
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
	options  Options
	layout   layout.Layout
	manifest *manifest.Manifest
	started  time.Time
	log      *slog.Logger
	lock     *os.File
	groups   *cgroup.Manager
	sockets  *sockets.Set
	book     *children.Book
	tree     *tree.Tree
	heir     *heir
}

// Run supervises the device until a signal asks for its end. It refuses to start, with an error that
// says what to do, where it could not do its work; once it supervises, no error ends it.
func Run(o Options, signals Signals) error {
	started := time.Now()
	left, err := bequest.Receive()
	if err != nil {
		return err
	}
	m, l, err := identify(o)
	if err != nil {
		return err
	}
	if err := makeDirectories(l, m.Name); err != nil {
		return err
	}
	lock, err := lockOrInherit(l, m.Name, left)
	if err != nil {
		return err
	}
	defer lock.Close()
	file, err := logs.Open(l.LogFile(m.Name))
	if err != nil {
		return err
	}
	defer file.Close()
	a := &app{options: o, layout: l, manifest: m, started: started, lock: lock, sockets: sockets.New(l.RunDir())}
	a.log = slog.New(slog.NewJSONHandler(io.MultiWriter(file, o.Stderr), nil)).With("component", m.Name, "version", m.Version)
	a.heir = newHeir(a)
	a.inherit(left)
	if err := a.prepare(directory(o, l)); err != nil {
		a.log.Error("does not start", "error", err)
		return err
	}
	return a.supervise(signals, left)
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

// directory is where the generation to run is: the committed one, unless the command line names another.
func directory(o Options, l layout.Layout) string {
	if o.Generation != "" {
		return o.Generation
	}
	return filepath.Join(l.ComponentState("pkgmgr"), "committed")
}

// prepare does all that can fail before anything is started.
func (a *app) prepare(dir string) error {
	own := a.layout.ComponentState(a.manifest.Name)
	book, err := children.Open(filepath.Join(own, "children.json"))
	if err != nil {
		return err
	}
	a.book = book
	g, err := generation.Load(dir, a.manifest, tree.Choices(book))
	if err != nil {
		return err
	}
	if err := a.place(g.Components...); err != nil {
		return err
	}
	for _, w := range g.Warnings {
		a.log.Warn(w)
	}
	users, err := identity.Open(filepath.Join(own, "uids.json"))
	if err != nil {
		return err
	}
	for _, c := range g.Components {
		uid, err := users.ID(c.Name())
		if err != nil {
			return err
		}
		if err := reachable(a.layout, uid, c); err != nil {
			return err
		}
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
		Generation: g, Directory: dir, Self: a.manifest, Own: ownLine(a.layout, a.manifest), Layout: a.layout,
		Users: users, Tokens: tokens, Book: book,
		Place:   func(c generation.Component) error { return a.place(c) },
		Reach:   func(uid uint32, c generation.Component) error { return reachable(a.layout, uid, c) },
		Sockets: a.sockets, Groups: a.groups, Log: a.log,
	})
	return err
}

// place puts the sockets of components where the operator wants them.
func (a *app) place(components ...generation.Component) error {
	return exposure.Place(a.layout.Init(), components...)
}

// supervise serves and runs the tree until a signal ends it, or another program is to take this one's place.
func (a *app) supervise(signals Signals, left *bequest.Bequest) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	counted := metrics.New(a.tree.Status())
	server := serve.New(serve.Config{
		Tree: a.tree, Layout: a.layout, Manifest: a.manifest, Started: a.started, Digest: generation.Digest(ownTree()),
		Self: a.heir, Stop: a.tree.Stop, Log: a.log, Count: counted.RPC,
	})
	back := &handback.Server{Path: a.layout.DescriptorSocket(), Expect: a.tree.Expect, Offer: a.sockets.Offer, Log: a.log}
	l, err := a.listenAll(back, left)
	if err != nil {
		return err
	}
	a.heir.own = l
	var side sync.WaitGroup
	side.Go(func() { back.Run(ctx, l.returned) })
	side.Go(func() { a.rotateLogs(ctx) })
	side.Go(func() { a.tellUnless(server.Serve(l.api), grpc.ErrServerStopped) })
	side.Go(func() { a.tellUnless(counted.Serve(l.metrics), http.ErrServerClosed) })
	side.Go(func() { a.obey(ctx, cancel, signals) })
	side.Go(func() { a.heir.report(ctx) })
	a.log.Info("supervising", "root", a.layout.Root, "pid", os.Getpid())
	a.tree.Run(ctx)
	gone := ctx.Err() != nil
	a.heir.letFinish(server, counted.Server)
	server.Stop()
	counted.Close()
	cancel()
	side.Wait()
	if a.heir.called() {
		return a.heir.succeed()
	}
	a.heir.done()
	a.finish(gone)
	return nil
}

// listeners are the supervisor's own.
type listeners struct {
	returned     *net.UnixListener
	api, metrics *net.UnixListener
}

// listenAll makes the supervisor's own sockets, or takes those that the program before left.
func (a *app) listenAll(back *handback.Server, left *bequest.Bequest) (l listeners, err error) {
	if l, ok := inherited(left); ok {
		return l, nil
	}
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
		case <-a.heir.call:
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
