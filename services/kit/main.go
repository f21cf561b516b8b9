// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// Service is what a constructor returns: the work and its readiness.
type Service interface {
	// Run does the work until ctx ends, then returns within the manifest's drain limit. Returning earlier,
	// with an error or without, is a crash: the supervisor starts the component again.
	Run(ctx context.Context) error
	// Probe is the domain probe behind readiness: nil means that the component does its work; the error's
	// text tells the operator what is missing. It is called often and must be cheap and safe for
	// concurrent use.
	Probe(ctx context.Context) error
}

// Constructor wires a service. It registers contracts on rt.Server and must not block on other components.
type Constructor func(ctx context.Context, rt *Runtime) (Service, error)

// Main runs a component as a process and does not return. The manifest is the component's own
// component.yaml, embedded in its binary.
func Main(manifestYAML []byte, construct Constructor) {
	if err := run(os.Args[1:], os.Stdout, manifestYAML, construct); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(args []string, out io.Writer, manifestYAML []byte, construct Constructor) error {
	m, err := manifest.Parse(manifestYAML)
	if err != nil {
		return err
	}
	if done, err := describe(args, out, m, manifestYAML); done {
		return err
	}
	env, err := fromEnvironment()
	if err != nil {
		return fmt.Errorf("%s: %w", m.Daemon, err)
	}
	// The binary needs no more rights than it was started with, whatever it may execute.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("%s: no_new_privs: %w", m.Daemon, err)
	}
	rt := newRuntime(m, env, os.Stderr)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := rt.Serve(ctx, construct); err != nil {
		rt.Log.Error("ended", "error", err)
		return fmt.Errorf("%s: %w", m.Daemon, err)
	}
	return nil
}

// describe answers the flags that a person or a packager may give to a daemon.
func describe(args []string, out io.Writer, m *manifest.Manifest, manifestYAML []byte) (done bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	switch args[0] {
	case "--version":
		_, err = fmt.Fprintf(out, "%s %s (%s)\n", m.Daemon, m.Version, m.Name)
	case "--manifest":
		_, err = out.Write(manifestYAML)
	default:
		err = fmt.Errorf("%s: unknown argument %q: the supervisor starts this daemon; by hand only --version and --manifest are of use", m.Daemon, args[0])
	}
	return true, err
}

// Embed returns a runtime for a component that runs inside this process, as tests do: the caller hands over the
// listening sockets by name and calls Serve. Logs are lines of JSON.
func Embed(manifestYAML []byte, l layout.Layout, tree string, sockets map[string]*os.File, logs io.Writer) (*Runtime, error) {
	m, err := manifest.Parse(manifestYAML)
	if err != nil {
		return nil, err
	}
	env := environment{layout: l, tree: tree}
	for name, file := range sockets {
		env.listeners = append(env.listeners, inherited{name: name, file: file})
	}
	return newRuntime(m, env, logs), nil
}

// environment is what the supervisor hands to a process.
type environment struct {
	layout    layout.Layout
	tree      string
	listeners []inherited
}

func fromEnvironment() (environment, error) {
	tree := os.Getenv(EnvTree)
	if tree == "" {
		return environment{}, errors.New("started by hand: components are started by ashlard (run `ashlard --help`); --version and --manifest work without it")
	}
	l, err := layout.New(os.Getenv(layout.EnvRoot))
	if err != nil {
		return environment{}, err
	}
	sockets, err := inheritedSockets(os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"))
	return environment{layout: l, tree: tree, listeners: sockets}, err
}
