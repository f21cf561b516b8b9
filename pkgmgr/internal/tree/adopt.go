// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/health"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
)

// returnLimit is how long living components have to return their sockets before they are taken.
const returnLimit = time.Second

// adopt takes over the process that an earlier supervisor left, if it lives. It is not restarted for that,
// whatever its version.
func (n *node) adopt() *session {
	was := n.tree.cfg.Book.Get(n.c.Name())
	if was.PID == 0 {
		return nil
	}
	p, err := process.Adopt(was.PID, was.StartTime)
	if err != nil {
		n.missed(err)
		return nil
	}
	client, err := health.Dial(n.tree.cfg.Layout.Socket(n.c.API().Unix))
	if err != nil {
		n.log.Error("adopted process cannot be asked", "error", err)
		p.Release()
		return nil
	}
	// It has answered an earlier supervisor, or has had time to: the judge of silence is in charge at once.
	s := &session{process: p, client: client, token: was.Token, started: was.Started, logged: n.logSize(), answered: true, changed: time.Now(), judge: n.newJudge()}
	if was.ReadyAfter > 0 {
		s.readySince = was.Started.Add(was.ReadyAfter)
		n.prove()
	}
	n.enterGroup(s)
	n.update(func(c *status.Component) {
		c.Phase, c.PID, c.Adopted, c.Version = status.Starting, was.PID, true, was.Version
		c.Started, c.ReadyAfter, c.Token = was.Started, was.ReadyAfter, was.Token
	})
	n.log.Info("adopted", "pid", was.PID, "token", was.Token, "child_version", was.Version)
	return s
}

// missed notes a death that no supervisor saw.
func (n *node) missed(err error) {
	exit := err.Error()
	if errors.Is(err, process.ErrGone) {
		exit = "died while no supervisor watched"
	}
	r := n.record(func(c *children.Child) {
		c.PID, c.StartTime = 0, 0
		c.Crashes++
		c.Restarts++
		c.LastCause, c.LastExit = int32(status.Crash), exit
	})
	n.update(func(c *status.Component) {
		c.Crashes, c.Restarts, c.LastCause, c.LastExit = r.Crashes, r.Restarts, status.Crash, exit
	})
	n.log.Warn("found dead", "exit", exit)
}

// claim waits for the adopted process to return its sockets and takes out of it what it does not. What
// cannot be had stays with the process, which goes on listening; it is made anew at the next start.
func (n *node) claim(ctx context.Context, p *process.Process) {
	sockets := n.tree.cfg.Sockets
	ctx, cancel := context.WithTimeout(ctx, returnLimit)
	defer cancel()
	want := n.c.Manifest.Sockets
	missing := sockets.Await(ctx, n.c.Name(), want)
	if len(missing) == 0 {
		n.log.Info("sockets returned", "sockets", len(want))
		return
	}
	err := sockets.Take(n.c.Name(), missing, p)
	if left := sockets.Missing(n.c.Name(), want); len(left) > 0 {
		n.log.Warn("sockets are held by the component alone", "missing", len(left), "error", err)
		return
	}
	n.log.Info("sockets taken, the component did not return them", "sockets", len(missing))
}

// retireRemoved ends components that an earlier supervisor ran and the generation no longer has.
func (t *Tree) retireRemoved() {
	for name, c := range t.cfg.Book.All() {
		if _, ok := t.byName[name]; ok {
			continue
		}
		t.retire(name, c)
	}
}

func (t *Tree) retire(name string, was children.Child) {
	log := t.cfg.Log.With("child", name)
	if was.PID != 0 {
		if p, err := process.Adopt(was.PID, was.StartTime); err == nil {
			log.Info("ending a component that was removed", "pid", was.PID)
			p.Signal(unix.SIGTERM)
			select {
			case <-p.Done():
			case <-time.After(killLimit / 2):
			}
			if err := p.Kill(killLimit); err != nil {
				log.Error("a removed component does not end", "error", err)
			}
			p.Release()
		}
	}
	if g, err := t.cfg.Groups.Group(name); err == nil {
		if err := errors.Join(g.Kill(killLimit), g.Remove()); err != nil {
			log.Warn("control group of a removed component stays", "error", err)
		}
	}
	if err := t.cfg.Book.Forget(name); err != nil {
		log.Error("a removed component stays in the record", "error", err)
	}
}
