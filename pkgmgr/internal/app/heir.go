// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/children"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/guard"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/logs"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/process"
	"github.com/ashlar-nos/ashlar/pkgmgr/internal/tree"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

const (
	// checkLimit bounds the proof that another program can take over, when the caller does not.
	checkLimit = 10 * time.Second
	// finishLimit bounds the wait for callers in flight before another program takes this one's place.
	finishLimit = 300 * time.Millisecond
	// adoptLimit bounds the wait for the adoption before it is reported.
	adoptLimit = 10 * time.Second
)

// envGuard marks guards, so that they are found when the device is taken off the machine.
const envGuard = "ASHLAR_GUARD"

// envManaged names the variable in which systemd tells its own child's process number (systemd.exec(5)).
const envManaged = "SYSTEMD_EXEC_PID"

// heir is the program that takes the place of this one, in the same process, and the trial of this one if it did so
// itself. Its methods are safe for concurrent use.
type heir struct {
	app *app
	own listeners
	// call is closed when the staged program shall take over.
	call chan struct{}

	mu     sync.Mutex
	tree   string
	next   *manifest.Manifest
	chosen bool
	// left are the supervisor's own sockets, for the next program.
	left map[string]int
	// guard watches over the next program, which tells it through write how things go.
	guard *process.Process
	write *os.File
	// pipe tells the guard of this program, watching; both are nil when there is none.
	pipe     *os.File
	watching *process.Process
}

func newHeir(a *app) *heir { return &heir{app: a, call: make(chan struct{})} }

// Stage proves that a program of the supervisor can take over this device. It changes nothing on it.
func (h *heir) Stage(ctx context.Context, dir string, limit time.Duration) (version, digest string, err error) {
	m, err := manifest.Load(filepath.Join(dir, "component.yaml"))
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", tree.ErrBadTree, err)
	}
	if m.Name != h.app.manifest.Name || m.Handover != manifest.ReExec {
		return "", "", fmt.Errorf("%w: %s holds %s with handover %s: want %s with handover %s", tree.ErrBadTree, dir, m.Name, m.Handover, h.app.manifest.Name, manifest.ReExec)
	}
	if limit <= 0 {
		limit = checkLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(dir, m.Run.Command[0]), append([]string{"check"}, h.app.arguments()...)...)
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return "", "", fmt.Errorf("%w: within %v", tree.ErrSilent, limit)
	case err != nil:
		return "", "", fmt.Errorf("%w: it cannot take over: %w: %s", tree.ErrUnfit, err, strings.TrimSpace(string(out)))
	case strings.TrimSpace(string(out)) != line(m):
		return "", "", fmt.Errorf("%w: its manifest says %q, the program says %q", tree.ErrUnfit, line(m), strings.TrimSpace(string(out)))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tree, h.next = dir, m
	h.app.log.Info("staged", "child", m.Name, "child_version", m.Version, "tree", dir)
	return m.Version, generation.Digest(dir), nil
}

// Discard forgets the staged program.
func (h *heir) Discard() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.chosen {
		h.tree, h.next = "", nil
	}
}

// Cutover has the staged program take over, soon after it returns. It reports whether the digest runs already.
func (h *heir) Cutover(digest string) (unchanged bool, err error) {
	if own := generation.Digest(ownTree()); digest != "" && own == digest {
		return true, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.chosen:
		return false, fmt.Errorf("%w: another program is about to take over", tree.ErrHandover)
	case h.next == nil || generation.Digest(h.tree) != digest:
		return false, fmt.Errorf("%w: stage the program first", tree.ErrNothingStaged)
	}
	if h.left, err = h.own.share(); err != nil {
		return false, fmt.Errorf("%w: %w", tree.ErrHandover, err)
	}
	if err := h.post(); err != nil {
		closeAll(h.left)
		return false, fmt.Errorf("%w: no guard: %w", tree.ErrHandover, err)
	}
	if err := h.app.book.Succeed(&children.Succession{Tree: h.tree, From: ownTree()}); err != nil {
		guard.Tell(h.write, guard.Done)
		closeAll(h.left)
		return false, fmt.Errorf("%w: %w", tree.ErrHandover, err)
	}
	h.chosen = true
	close(h.call)
	return false, nil
}

// Confirm ends this program's trial.
func (h *heir) Confirm() error {
	h.done()
	return h.app.book.Succeed(nil)
}

// done tells the guard that it is not needed any more.
func (h *heir) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pipe != nil {
		guard.Tell(h.pipe, guard.Done)
		h.pipe.Close()
		h.pipe = nil
	}
}

// report tells the guard that everything has been adopted, and notes when this program was gone back to.
func (h *heir) report(ctx context.Context) {
	if s := h.app.book.Succession(); s != nil && s.From == ownTree() {
		h.app.log.Error("the supervisor on trial failed, this is the one before", "failed", s.Tree)
		if err := h.app.book.Succeed(nil); err != nil {
			h.app.log.Error("the end of the trial is not recorded", "error", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, adoptLimit)
	defer cancel()
	if h.app.tree.Adopted(ctx) != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pipe != nil {
		guard.Tell(h.pipe, guard.Supervising)
	}
}

// called reports whether the staged program shall take over.
func (h *heir) called() bool {
	select {
	case <-h.call:
		return true
	default:
		return false
	}
}

// letFinish lets callers in flight have their answers before another program takes over; new ones wait in the sockets' queues.
func (h *heir) letFinish(server *grpc.Server, metrics *http.Server) {
	if !h.called() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishLimit)
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		server.GracefulStop()
		close(stopped)
	}()
	_ = metrics.Shutdown(ctx)
	select {
	case <-stopped:
	case <-ctx.Done(): // streams end with the program
	}
}

// succeed executes the next program in this process. It returns only when that fails; the guard does the rest.
func (h *heir) succeed() error {
	h.done() // the next program's trial begins where this one's ends
	if h.watching != nil {
		select { // the next program would not know that it is to be reaped
		case <-h.watching.Done():
		case <-time.After(finishLimit):
		}
	}
	b := h.app.leave(h.left)
	b.GuardPID, b.GuardStartTime, b.Report = h.guard.PID, h.guard.StartTime, int(h.write.Fd())
	setting, err := b.Leave()
	if err != nil {
		return err
	}
	program := filepath.Join(h.tree, h.next.Run.Command[0])
	h.app.log.Info("another program takes over", "program", program, "next_version", h.next.Version)
	args := append([]string{h.next.Daemon}, h.app.arguments()...)
	err = unix.Exec(program, args, append(os.Environ(), setting))
	return fmt.Errorf("execute %s: %w", program, err)
}

// post starts a guard that goes back to this program when the next one fails.
func (h *heir) post() error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	output, err := logs.Open(h.app.layout.LogFile(h.app.manifest.Name))
	if err != nil {
		write.Close()
		return err
	}
	defer output.Close()
	c := exec.Command(ownProgram(), append([]string{"guard"}, h.app.arguments()...)...)
	c.Env = append(os.Environ(), envGuard+"=1", layout.EnvRoot+"="+h.app.layout.Root)
	c.Stdout, c.Stderr = output, output
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	self, err := process.StartTime(os.Getpid())
	if err != nil {
		write.Close()
		return err
	}
	c.Args = append(c.Args, "--pid", strconv.Itoa(os.Getpid()), "--start-time", strconv.FormatUint(self, 10))
	if os.Getenv(envManaged) == strconv.Itoa(os.Getpid()) {
		c.Args = append(c.Args, "--managed")
	}
	c.ExtraFiles = []*os.File{read}
	for _, name := range guardedSockets() {
		fd, err := unix.FcntlInt(uintptr(h.left[name]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			write.Close()
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		defer f.Close()
		c.ExtraFiles = append(c.ExtraFiles, f)
	}
	if err := c.Start(); err != nil {
		write.Close()
		return err
	}
	start, err := process.StartTime(c.Process.Pid)
	if err == nil {
		h.guard, err = process.Adopt(c.Process.Pid, start)
	}
	if err != nil {
		write.Close()
		return errors.Join(err, c.Process.Kill(), c.Wait())
	}
	h.write = write
	return nil
}

// arguments are those that this program was started with.
func (a *app) arguments() []string {
	out := []string{"--root", a.layout.Root}
	if a.options.Generation != "" {
		out = append(out, "--generation", a.options.Generation)
	}
	return out
}

// line is what a program of the supervisor says of itself.
func line(m *manifest.Manifest) string { return fmt.Sprintf("%s %s (%s)", m.Daemon, m.Version, m.Name) }
