// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package history asks git about the tree's past: when files changed last, what the main line's commits are, and how the tree
// looked at one of them. It changes neither branches nor the index nor a file of the tree it was opened on.
// A Repository holds no state and may be used concurrently.
package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Repository is a git working tree.
type Repository struct{ dir string }

// Open returns the working tree at a directory, which must be its top. A shallow clone is refused: it does not know since
// when a file is as it is, nor the commits that older versions are built from.
func Open(ctx context.Context, dir string) (Repository, error) {
	r := Repository{dir}
	out, err := r.git(ctx, "rev-parse", "--show-toplevel", "--is-shallow-repository")
	if err != nil {
		return r, fmt.Errorf("the time of a build and older versions come from git: %w", err)
	}
	top, shallow, _ := strings.Cut(out, "\n")
	if shallow == "true" {
		return r, errors.New("this clone is shallow: the commits that packages are made of are missing; get them by `git fetch --unshallow`")
	}
	here, err := filepath.EvalSymlinks(dir)
	if err == nil {
		here, err = filepath.Abs(here)
	}
	if err != nil || here != top {
		return r, fmt.Errorf("%s is not the top of its git working tree, %s is (%v)", dir, top, err)
	}
	return r, nil
}

// git runs one command and returns its output without the last newline. The caller's GIT_* variables (a hook has some) do not
// reach it: they would name another repository.
func (r Repository) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "core.hooksPath=/dev/null", "-C", r.dir}, args...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// Head returns the commit that is checked out.
func (r Repository) Head(ctx context.Context) (string, error) {
	return r.git(ctx, "rev-parse", "--verify", "HEAD^{commit}")
}

// Clean returns nil when the working tree is exactly its commit.
func (r Repository) Clean(ctx context.Context) error {
	out, err := r.git(ctx, "status", "--porcelain", "--untracked-files=all")
	if err != nil {
		return err
	}
	if out != "" {
		return fmt.Errorf("the working tree is not what its commit says: commit or remove first:\n%s", out)
	}
	return nil
}

// Line returns HEAD and its first parents, newest first: the commits that were HEAD of the main line, one after the other.
func (r Repository) Line(ctx context.Context) ([]string, error) {
	out, err := r.git(ctx, "rev-list", "--first-parent", "HEAD")
	return strings.Fields(out), err
}

// LastChange returns the time of the last commit that touched one of the files, whose paths are relative to the top.
func (r Repository) LastChange(ctx context.Context, files []string) (time.Time, error) {
	out, err := r.git(ctx, slices.Concat([]string{"--literal-pathspecs", "log", "-1", "--format=%ct", "--"}, files)...)
	if err != nil {
		return time.Time{}, err
	}
	seconds, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("no commit touches any of %s: commit first", strings.Join(files, ", "))
	}
	return time.Unix(seconds, 0), nil
}

// Names returns the paths of all files of a commit.
func (r Repository) Names(ctx context.Context, commit string) ([]string, error) {
	out, err := r.git(ctx, "ls-tree", "-r", "--name-only", commit)
	return strings.Split(out, "\n"), err
}

// File returns a file as it was at a commit.
func (r Repository) File(ctx context.Context, commit, path string) ([]byte, error) {
	out, err := r.git(ctx, "show", commit+":"+path)
	return []byte(out), err
}

// CheckOut makes dir a working tree of a commit. What an earlier one that was interrupted left there is removed.
func (r Repository) CheckOut(ctx context.Context, commit, dir string) (Repository, error) {
	r.Remove(ctx, dir)
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Repository{}, err
	}
	if _, err := r.git(ctx, "worktree", "add", "--quiet", "--detach", "--force", dir, commit); err != nil {
		return Repository{}, fmt.Errorf("%w (a commit that is missing comes with `git fetch`)", err)
	}
	return Repository{dir}, nil
}

// Remove takes away what CheckOut made, also after ctx has ended.
func (r Repository) Remove(ctx context.Context, dir string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if abs, err := filepath.Abs(dir); err == nil {
		_, _ = r.git(ctx, "worktree", "remove", "--force", "--force", abs) // there may be none
		_ = os.RemoveAll(abs)
	}
	_, _ = r.git(ctx, "worktree", "prune")
}
