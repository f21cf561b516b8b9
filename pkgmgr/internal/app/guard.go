// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/bequest"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/guard"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/identity"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/token"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// firstGuarded is the descriptor of the pipe in a guard; the supervisor's own sockets follow.
const firstGuarded = 3

// guardedSockets are the sockets that a guard keeps open, in the order of their descriptors.
func guardedSockets() []string { return []string{ownReturned, socketAPI, socketMetrics} }

// Guard watches over a supervisor whose program has been replaced, and becomes the supervisor when that fails. Of a managed
// one it only sees to its end: a service manager starts the program before.
func Guard(o Options, pid int, startTime uint64, managed bool) error {
	m, l, err := identify(o)
	if err != nil {
		return err
	}
	for i := range 1 + len(guardedSockets()) {
		unix.CloseOnExec(firstGuarded + i)
	}
	log := slog.New(slog.NewJSONHandler(o.Stderr, nil)).With("component", m.Name, "version", m.Version, "guard", os.Getpid())
	back, err := guard.Watch(pid, startTime, os.NewFile(firstGuarded, "report"), log)
	if err != nil || !back {
		return err
	}
	if managed {
		log.Warn("the service manager starts the supervisor before")
		return nil
	}
	log.Warn("going back to the supervisor before")
	b := bequest.New()
	for i, name := range guardedSockets() {
		b.Own[name] = firstGuarded + 1 + i
	}
	setting, err := b.Leave()
	if err != nil {
		return err
	}
	a := &app{options: o, layout: l}
	program := ownProgram()
	err = unix.Exec(program, append([]string{m.Daemon}, a.arguments()...), append(plainEnvironment(), setting))
	return fmt.Errorf("execute %s: %w", program, err)
}

// plainEnvironment is the environment without what marks a guard.
func plainEnvironment() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, envGuard+"=") && !strings.HasPrefix(e, layout.EnvRoot+"=") {
			out = append(out, e)
		}
	}
	return out
}

// Check reads all that a supervisor of the device would read, and changes nothing. It is run beside the one that
// supervises, to prove that this program can take its place.
func Check(o Options, out io.Writer) error {
	m, l, err := identify(o)
	if err != nil {
		return err
	}
	own := l.ComponentState(m.Name)
	book, err := children.Open(filepath.Join(own, "children.json"))
	if err != nil {
		return err
	}
	_, users := identity.Open(filepath.Join(own, "uids.json"))
	_, tokens := token.Open(filepath.Join(own, "token"), book.HighestToken())
	g, err := generation.Load(directory(o, l), m, tree.Choices(book))
	if err := errors.Join(users, tokens, err); err != nil {
		return err
	}
	a := &app{layout: l}
	if err := a.place(g.Components...); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, line(m))
	return err
}
