// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// backlog is how many connections wait while nobody accepts; the kernel cuts it to net.core.somaxconn.
const backlog = 4096

// bind makes the listening socket that a manifest describes. Unix sockets are made in dir, in place of
// whatever has the name there.
func bind(ctx context.Context, dir string, s manifest.Socket) (int, error) {
	if s.Unix != "" {
		return bindUnix(filepath.Join(dir, s.Unix), s)
	}
	return bindTCP(ctx, s.TCP)
}

func bindUnix(path string, s manifest.Socket) (int, error) {
	mode, err := s.FileMode()
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := listenUnix(fd, path, mode); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("socket %s: %w", path, err)
	}
	return fd, nil
}

func listenUnix(fd int, path string, mode os.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	// The mode is set before anyone can connect.
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return unix.Listen(fd, backlog)
}

// bindTCP lets package net resolve the address and choose the families; it also sets SO_REUSEADDR. The address may
// be one that the machine does not have yet: a management port is often configured later than this starts.
func bindTCP(ctx context.Context, address string) (int, error) {
	config := net.ListenConfig{Control: freeBind}
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return -1, err
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(s uintptr) { fd, dupErr = duplicate(int(s)) }); err != nil {
		return -1, err
	}
	return fd, dupErr
}

// freeBind allows an address that is not there yet (IP_FREEBIND, ip(7)); it covers IPv6 sockets too.
func freeBind(_, _ string, c syscall.RawConn) error {
	var option error
	if err := c.Control(func(fd uintptr) {
		option = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
	}); err != nil {
		return err
	}
	return option
}

// duplicate shares the open socket and keeps its blocking mode, which all holders have in common.
func duplicate(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("duplicate a socket: %w", err)
	}
	return n, nil
}

// matches reports whether a descriptor is the listening socket that a manifest describes.
func matches(fd int, dir string, s manifest.Socket) bool {
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening != 1 {
		return false
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	switch a := address.(type) {
	case *unix.SockaddrUnix:
		return s.Unix != "" && a.Name == filepath.Join(dir, s.Unix)
	case *unix.SockaddrInet4:
		return sameTCP(s.TCP, a.Addr[:], a.Port)
	case *unix.SockaddrInet6:
		return sameTCP(s.TCP, a.Addr[:], a.Port)
	}
	return false
}

func sameTCP(want string, ip net.IP, port int) bool {
	w, err := net.ResolveTCPAddr("tcp", want)
	if err != nil || w.Port != port && w.Port != 0 { // port 0 is any
		return false
	}
	if w.IP == nil || w.IP.IsUnspecified() {
		return ip.IsUnspecified()
	}
	return w.IP.Equal(ip)
}
