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

// start starts the component's process. Without a session, the verdict says what to do instead; after a
// failed start it is proceed, once the backoff is over.
func (n *node) start(ctx context.Context) (*session, verdict) {
	select {
	case <-n.stop:
		return nil, halt
	case <-ctx.Done():
		return nil, leave
	default:
	}
	n.update(func(c *status.Component) {
		c.Phase, c.Reason, c.NextStart, c.Adopted = status.Starting, "", time.Time{}, false
	})
	s, err := n.launch(ctx)
	if err == nil {
		return s, proceed
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
	return nil, n.pause(ctx, n.nextPause(nil, false))
}

// launch does the work of a start. The old process is dead by now, so the token may move.
func (n *node) launch(ctx context.Context) (*session, error) {
	if err := n.sweepStrays(); err != nil {
		return nil, err
	}
	fds, err := n.tree.cfg.Sockets.Ensure(ctx, n.c.Name(), n.c.Manifest.Sockets)
	if err != nil {
		return nil, err
	}
	if err := n.prepareFiles(); err != nil {
		return nil, err
	}
	capabilities, err := process.Capabilities(n.c.Manifest.Capabilities)
	if err != nil {
		return nil, err
	}
	output, err := logs.Open(n.tree.cfg.Layout.LogFile(n.c.Name()))
	if err != nil {
		return nil, err
	}
	defer output.Close()
	logged := n.logSize()
	token, err := n.tree.cfg.Tokens.Next()
	if err != nil {
		return nil, err
	}
	client, err := health.Dial(n.tree.cfg.Layout.Socket(n.c.API().Unix))
	if err != nil {
		return nil, err
	}
	s := &session{client: client, token: token, started: time.Now(), logged: logged, changed: time.Now(), judge: n.newJudge()}
	n.enterGroup(s)
	command := n.c.Manifest.Run.Command
	s.process, err = process.Start(process.Spec{
		Path: n.c.Program(), Name: command[0], Args: command[1:],
		Env: n.environment(), Dir: n.tree.cfg.Layout.ComponentState(n.c.Name()),
		Output: output, Descriptors: fds, UID: n.uid, Capabilities: capabilities, Group: groupOf(s),
	})
	if err != nil {
		s.client.Close()
		return nil, err
	}
	n.started(s)
	return s, nil
}

// logSize is how long the component's log is, in bytes.
func (n *node) logSize() int64 {
	info, err := os.Stat(n.tree.cfg.Layout.LogFile(n.c.Name()))
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
		c.PID, c.StartTime, c.Token = s.process.PID, s.process.StartTime, s.token
		c.Tree, c.Version = n.c.Tree, n.c.Manifest.Version
		c.Started, c.ReadyAfter = s.started, 0
	})
	n.update(func(c *status.Component) {
		c.PID, c.Started, c.ReadyAfter, c.Token = r.PID, r.Started, 0, r.Token
		c.Version, c.Restarts, c.LastCause = r.Version, r.Restarts, status.Cause(r.LastCause)
	})
	n.log.Info("started", "pid", r.PID, "token", r.Token, "child_version", r.Version)
}

// sweepStrays ends processes of this component that no record knows: a supervisor that was killed
// between starting and recording leaves one. It never had a token.
func (n *node) sweepStrays() error {
	if n.swept {
		return nil
	}
	strays, err := process.FindByEnvironment(layout.EnvRoot+"="+n.tree.cfg.Layout.Root, EnvComponent+"="+n.c.Name())
	if err != nil {
		return err
	}
	for _, p := range strays {
		n.log.Warn("ending a process that no record knows", "pid", p.PID)
	}
	if err := process.KillAll(strays, killLimit); err != nil {
		return err
	}
	n.swept = true
	return nil
}

// prepareFiles makes what the component needs to own.
func (n *node) prepareFiles() error {
	l := n.tree.cfg.Layout
	if err := ownTree(l.ComponentState(n.c.Name()), n.uid); err != nil {
		return err
	}
	for _, c := range n.c.Manifest.Capabilities {
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

// enterGroup opens the component's control group. A host without one still runs the component.
func (n *node) enterGroup(s *session) {
	g, err := n.tree.cfg.Groups.Group(n.c.Name())
	if err != nil {
		n.log.Warn("runs without a control group", "error", err)
		return
	}
	r := n.c.Manifest.Resources
	limits := cgroup.Limits{MemoryBytes: uint64(r.Memory), Tasks: r.PIDs, CPUShares: r.CPUShares}
	if err := g.Limit(limits); err != nil {
		n.log.Warn("limits are not all in force", "error", err)
	}
	s.group, s.kills = g, g.OutOfMemoryKills()
}

// environment is all that the process gets to know from outside.
func (n *node) environment() []string {
	var names []string
	for _, s := range n.c.Manifest.Sockets {
		names = append(names, s.Name)
	}
	state := n.tree.cfg.Layout.ComponentState(n.c.Name())
	env := []string{
		layout.EnvRoot + "=" + n.tree.cfg.Layout.Root,
		"ASHLAR_TREE=" + n.c.Tree,
		EnvComponent + "=" + n.c.Name(),
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
	for k, v := range n.c.Manifest.Run.Environment {
		env = append(env, k+"="+v)
	}
	return env
}
