// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package device

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// startOwnHostname starts a command in the device's network and UTS namespaces. The UTS namespace is
// held by a file, so that the hostname outlives every process of the device, as a machine's does.
func (d *Device) startOwnHostname(cmd *exec.Cmd) error {
	if err := holdHostname(d.Hostname); err != nil {
		return err
	}
	file, err := os.Open(d.Hostname)
	if err != nil {
		return err
	}
	defer file.Close()
	// A session of its own: neither Ctrl-C nor the end of the terminal is meant for the device.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	return onLastThread(func() error {
		if err := unix.Setns(d.Namespace.Descriptor(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the device's network: %w", err)
		}
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("enter the device's hostname: %w", err)
		}
		return cmd.Start()
	})
}

// holdHostname makes the UTS namespace if the file does not hold one.
func holdHostname(path string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err == nil && fs.Type == unix.NSFS_MAGIC {
		return nil
	}
	mark, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	mark.Close()
	return onLastThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("make UTS namespace (needs root): %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/uts", path, "bind", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("hold UTS namespace: %w", err)
		}
		return nil
	})
}

// ReleaseHostname takes away the file that holds the UTS namespace. It need not be there.
func ReleaseHostname(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// onLastThread runs fn on a thread that ends with it, since fn changes what the thread can see. It is
// never the process's first thread, by which others know where the process is.
func onLastThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			result <- onLastThread(fn)
			runtime.UnlockOSThread()
			return
		}
		result <- fn()
	}()
	return <-result
}
