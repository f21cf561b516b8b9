// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/cgroup"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/health"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/logs"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/pins"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/status"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// EnvComponent names the environment variable by which a process is known to belong to a component.
const EnvComponent = "ASHLAR_COMPONENT"

// killLimit is how long a process may take to vanish after SIGKILL.
const killLimit = 10 * time.Second

// start starts the component's process. It returns proceed when it runs, and also after a failed start, once the
// backoff is over.
func (n *node) start(ctx context.Context) verdict {
	select {
	case <-n.stop:
		return halt
	case <-ctx.Done():
		return leave
	default:
	}
	n.update(func(c *status.Component) {
		c.Phase, c.Reason, c.NextStart, c.Adopted = status.Starting, "", time.Time{}, false
	})
	err := n.launch(ctx)
	if err == nil {
		return proceed
	}
	n.log.Error("start failed", "error", err)
	n.answer(err)
	r := n.record(func(c *children.Child) {
		c.Crashes++
		c.LastCause, c.LastExit = int32(status.Crash), err.Error()
	})
	n.update(func(c *status.Component) {
		c.Reason, c.Crashes, c.LastExit, c.LastCause = err.Error(), r.Crashes, r.LastExit, status.Crash
	})
	if n.reverse("it could not be started: " + err.Error()) {
		return proceed
	}
	return n.pause(ctx, n.nextPause(nil, false))
}

// launch starts a process that gets a token. The old one is dead by now, so the token may move.
func (n *node) launch(ctx context.Context) error {
	token, err := n.tree.cfg.Tokens.Next()
	if err != nil {
		return err
	}
	s, err := n.spawn(ctx, n.c, n.freeSlot())
	if err != nil {
		return err
	}
	s.token, n.running = token, s
	n.started(s)
	return nil
}

// spawn starts a process of a version in a slot. It has no token yet.
func (n *node) spawn(ctx context.Context, c generation.Component, at slot) (*session, error) {
	fds, err := n.tree.cfg.Sockets.Ensure(ctx, n.name, socketsOf(c, at))
	if err != nil {
		return nil, err
	}
	if err := n.prepareFiles(c); err != nil {
		return nil, err
	}
	capabilities, err := process.Capabilities(c.Manifest.Capabilities)
	if err != nil {
		return nil, err
	}
	output, err := logs.Open(n.tree.cfg.Layout.LogFile(n.name))
	if err != nil {
		return nil, err
	}
	defer output.Close()
	logged := n.logSize()
	client, err := n.dial(at)
	if err != nil {
		return nil, err
	}
	s := &session{c: c, slot: at, client: client, started: time.Now(), logged: logged, changed: time.Now(), judge: newJudge(c)}
	n.enterGroup(s)
	command := c.Manifest.Run.Command
	s.process, err = process.Start(process.Spec{
		Path: c.Program(), Name: command[0], Args: command[1:],
		Env: n.environment(s), Dir: n.tree.cfg.Layout.ComponentState(n.name),
		Output: output, Descriptors: fds, UID: n.uid, Capabilities: capabilities, Group: groupOf(s),
	})
	if err != nil {
		s.client.Close()
		return nil, err
	}
	return s, nil
}

// dial returns a client for the process in a slot.
func (n *node) dial(at slot) (*health.Client, error) {
	return health.Dial(n.tree.cfg.Layout.Socket(at.socket(n.name).Unix))
}

// logSize is how long the component's log is, in bytes.
func (n *node) logSize() int64 {
	info, err := os.Stat(n.tree.cfg.Layout.LogFile(n.name))
	if err != nil {
		return 0
	}
	return info.Size()
}

// groupOf avoids an interface that holds a nil pointer.
func groupOf(s *session) process.Group {
	if s.group == nil {
		return nil
	}
	return s.group
}

// started tells the world about a new process, and first of all a later supervisor.
func (n *node) started(s *session) {
	r := n.record(func(c *children.Child) {
		if c.LastCause == 0 {
			c.LastCause = int32(status.Boot)
		}
		c.Process, c.ReadyAfter, c.Moving = s.record(), 0, false
	})
	n.showRunning(s, r)
	n.log.Info("started", "pid", r.PID, "token", r.Token, "child_version", r.Version)
}

// showRunning puts a process into the component's row.
func (n *node) showRunning(s *session, r children.Child) {
	m := s.c.Manifest
	n.update(func(c *status.Component) {
		c.PID, c.Started, c.ReadyAfter, c.Token, c.Adopted = r.PID, r.Started, r.ReadyAfter, r.Token, s.adopted
		c.Version, c.Daemon, c.Summary, c.Digest, c.Tree = m.Version, m.Daemon, m.Summary, s.c.Digest(), s.c.Tree
		c.Restarts, c.LastCause, c.LastExit = r.Restarts, status.Cause(r.LastCause), r.LastExit
		c.Trial, c.Reversal = trialStatus(r.Trial), reversalStatus(r.Reversal)
		c.NextStart, c.Absent = time.Time{}, false
	})
	n.show()
}

// prepareFiles makes what the component needs to own.
func (n *node) prepareFiles(of generation.Component) error {
	l := n.tree.cfg.Layout
	if err := ownTree(l.ComponentState(n.name), n.uid); err != nil {
		return err
	}
	for _, c := range of.Manifest.Capabilities {
		if c == "CAP_BPF" {
			return pins.Prepare(l.PinDir(), n.uid)
		}
	}
	return nil
}

// ownTree makes a directory and gives it and all that is in it to a user. A file with a second name may
// be somebody else's and is left alone.
func ownTree(dir string, uid uint32) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if st.Uid == uid && st.Gid == uid || st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink > 1 {
			return nil
		}
		return os.Lchown(path, int(uid), int(uid))
	})
}

// enterGroup opens the slot's control group. A host without one still runs the component.
func (n *node) enterGroup(s *session) {
	g, err := n.tree.cfg.Groups.Group(s.slot.group(n.name))
	if err != nil {
		n.log.Warn("runs without a control group", "error", err)
		return
	}
	r := s.c.Manifest.Resources
	limits := cgroup.Limits{MemoryBytes: uint64(r.Memory), Tasks: r.PIDs, CPUShares: r.CPUShares}
	if err := g.Limit(limits); err != nil {
		n.log.Warn("limits are not all in force", "error", err)
	}
	s.group, s.kills = g, g.OutOfMemoryKills()
}

// environment is all that the process gets to know from outside.
func (n *node) environment(of *session) []string {
	var names []string
	for _, s := range socketsOf(of.c, of.slot) {
		names = append(names, s.Name)
	}
	state := n.tree.cfg.Layout.ComponentState(n.name)
	env := []string{
		layout.EnvRoot + "=" + n.tree.cfg.Layout.Root,
		"ASHLAR_TREE=" + of.c.Tree,
		EnvComponent + "=" + n.name,
		fmt.Sprintf("LISTEN_FDS=%d", len(names)),
		"LISTEN_FDNAMES=" + strings.Join(names, ":"),
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + state,
		"LANG=C.UTF-8",
	}
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "OTEL_") { // where traces go is the operator's to say, for all at once
			env = append(env, e)
		}
	}
	for k, v := range of.c.Manifest.Run.Environment {
		env = append(env, k+"="+v)
	}
	return env
}
