// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package netns makes network namespaces values: something that is created, entered for the length of
// one function, given to a child process, and removed.
//
// A Namespace is safe for concurrent use. Entering one never leaks: the function runs on a thread of
// its own that is given back only once it is home again. Nothing here mounts /sys anew, so that bpffs
// and the control groups look the same inside (unlike `ip netns exec`).
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Directory is where iproute2 looks for named namespaces.
const Directory = "/run/netns"

// Namespace is one network namespace, held by an open descriptor.
type Namespace struct {
	name string
	file *os.File
}

// New makes a namespace without a name. It lives until Close, or for as long as a process is in it.
func New() (*Namespace, error) {
	return create("")
}

// Create makes a namespace with a name that `ip netns` and `nsenter --net=` know. It outlives this
// process; Remove takes the name away. fs.ErrExist: the name is taken.
func Create(name string) (*Namespace, error) {
	if name == "" || strings.ContainsAny(name, "/.") {
		return nil, fmt.Errorf("namespace name %q: must be a plain file name without dots", name)
	}
	return create(name)
}

// Open returns the namespace with a name, or at a path if it begins with a slash.
func Open(nameOrPath string) (*Namespace, error) {
	path := nameOrPath
	if !strings.HasPrefix(path, "/") {
		path = filepath.Join(Directory, nameOrPath)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace: %w", err)
	}
	return &Namespace{name: nameOrPath, file: file}, nil
}

// create unshares on a thread that ends with its goroutine, so that no other goroutine ever runs there.
func create(name string) (*Namespace, error) {
	type result struct {
		namespace *Namespace
		err       error
	}
	done := make(chan result)
	go onThread(func() {
		namespace, err := unshare(name)
		done <- result{namespace, err}
	})
	r := <-done
	return r.namespace, r.err
}

// onThread runs fn with its goroutine locked to a thread other than the process's first, by which
// /proc/<pid>/ns/net says where the whole process is. fn unlocks if the thread may be used again.
func onThread(fn func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		fn()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		fn()
	}()
	<-done
	runtime.UnlockOSThread()
}

func unshare(name string) (*Namespace, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("make network namespace (needs root): %w", err)
	}
	const self = "/proc/thread-self/ns/net"
	file, err := os.Open(self)
	if err != nil {
		return nil, err
	}
	n := &Namespace{name: name, file: file}
	if name == "" {
		return n, nil
	}
	if err := bindName(self, name); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return n, nil
}

func bindName(source, name string) error {
	if err := os.MkdirAll(Directory, 0o755); err != nil {
		return err
	}
	path := filepath.Join(Directory, name)
	mark, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("name namespace: %w", err)
	}
	mark.Close()
	if err := unix.Mount(source, path, "bind", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("name namespace %s: %w", name, err), os.Remove(path))
	}
	return nil
}

// Name is the name under /run/netns, or the path it was opened by; empty for a namespace without one.
func (n *Namespace) Name() string { return n.name }

// Path names the namespace for `nsenter --net=`; for one without a name it is good while this process lives.
func (n *Namespace) Path() string {
	switch {
	case n.name == "":
		return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd())
	case strings.HasPrefix(n.name, "/"):
		return n.name
	}
	return filepath.Join(Directory, n.name)
}

// Do runs fn inside the namespace, on a thread locked for it. Goroutines that fn starts are outside.
func (n *Namespace) Do(fn func() error) error {
	done := make(chan error, 1)
	go onThread(func() {
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter namespace %s: %w", n.Path(), err)
			return
		}
		err = fn()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread() // otherwise the thread dies with this goroutine
		}
		done <- err
	})
	return <-done
}

// Start starts a command inside the namespace.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	return n.Do(cmd.Start)
}

// Output runs a command inside the namespace and returns what it printed; the error carries stderr.
func (n *Namespace) Output(cmd *exec.Cmd) ([]byte, error) {
	var out []byte
	err := n.Do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return out, fmt.Errorf("%s in %s: %w: %s", strings.Join(cmd.Args, " "), n.Path(), err, strings.TrimSpace(string(out)))
	}
	return out, nil
}

// Netlink opens a netlink handle inside the namespace. The caller closes it.
func (n *Namespace) Netlink() (*netlink.Handle, error) {
	handle, err := netlink.NewHandleAt(vnetns.NsHandle(n.file.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink in %s: %w", n.Path(), err)
	}
	return handle, nil
}

// Descriptor is the namespace's open descriptor; it stays owned by the Namespace.
func (n *Namespace) Descriptor() int { return int(n.file.Fd()) }

// Sysctl writes a file below /proc/sys/net as the namespace sees it, for example "ipv4/ip_forward".
func (n *Namespace) Sysctl(key, value string) error {
	return n.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys/net", key), []byte(value), 0o644)
	})
}

// Close gives up the descriptor. A named namespace lives on.
func (n *Namespace) Close() error { return n.file.Close() }

// Remove takes a name away. The namespace itself ends with its last process and descriptor.
// A name that is not there is no error.
func Remove(name string) error {
	path := filepath.Join(Directory, name)
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove namespace name: %w", err)
	}
	return nil
}
