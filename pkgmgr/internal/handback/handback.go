// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package handback receives the listening sockets that living components return to a new supervisor.
//
// It listens on a socket of its own in the run directory. A component connects, says who it is, passes
// its descriptors (package fdpass) and keeps the connection, whose end tells it that the supervisor is
// gone. Who connects is judged by what the kernel says of the peer (SO_PEERCRED), never by the message.
package handback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/kit/fdpass"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
)

const (
	// messageLimit bounds the time from connecting to the message.
	messageLimit = 5 * time.Second
	// recordLimit is how long a new process may be ahead of its record, which is synced to disk.
	recordLimit = 200 * time.Millisecond
	// maxConnections bounds the connections kept; components have one each.
	maxConnections = 256
)

// Expected tells what the supervisor knows of one of a component's processes.
type Expected struct {
	PID     int
	UID     uint32
	Sockets []manifest.Socket
}

// Server accepts returned sockets. Its fields are set before Run and not changed.
type Server struct {
	// Path of the socket.
	Path string
	// Expect returns a component's process by its number; ok is false when there is none such.
	Expect func(component string, pid int) (e Expected, ok bool)
	// Offer takes one socket; the descriptor is closed afterwards.
	Offer func(component string, s manifest.Socket, fd int) error
	Log   *slog.Logger
}

// Listen makes the socket. Every user may connect: the peer's identity decides.
func (s *Server) Listen() (*net.UnixListener, error) {
	if err := os.Remove(s.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("handback: %w", err)
	}
	l, err := net.ListenUnix(fdpass.Network, &net.UnixAddr{Name: s.Path, Net: fdpass.Network})
	if err != nil {
		return nil, fmt.Errorf("handback: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(s.Path, 0o666); err != nil {
		l.Close()
		return nil, fmt.Errorf("handback: %w", err)
	}
	return l, nil
}

// Run serves until ctx ends, then closes the listener and all connections.
func (s *Server) Run(ctx context.Context, l *net.UnixListener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxConnections)
	for {
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			s.Log.Warn("accept of returned sockets", "error", err)
			pause(ctx)
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			s.Log.Warn("too many connections for returned sockets", "limit", maxConnections)
			conn.Close()
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			s.serve(ctx, conn)
		})
	}
}

// pause keeps a failing accept, as when descriptors are used up, from spinning.
func pause(ctx context.Context) {
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (s *Server) serve(ctx context.Context, conn *net.UnixConn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	if err := s.receive(conn); err != nil {
		if ctx.Err() == nil {
			s.Log.Warn("returned sockets refused", "error", err)
		}
		return
	}
	conn.SetReadDeadline(time.Time{})
	conn.Read(make([]byte, 1)) // nothing more is said; this is the peer's end
}

// receive reads one message and keeps what is in order.
func (s *Server) receive(conn *net.UnixConn) error {
	conn.SetReadDeadline(time.Now().Add(messageLimit))
	var message fdpass.Return
	files, err := fdpass.Receive(conn, &message)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	e, err := s.authorise(conn, message)
	if err != nil {
		return err
	}
	if len(files) != len(message.Names) {
		return fmt.Errorf("%s returned %d sockets under %d names", message.Component, len(files), len(message.Names))
	}
	for i, name := range message.Names {
		if err := s.offer(message.Component, name, e.Sockets, files[i]); err != nil {
			return err
		}
	}
	return nil
}

// authorise checks that the peer is the process that the supervisor knows under the name.
func (s *Server) authorise(conn *net.UnixConn, message fdpass.Return) (Expected, error) {
	id, err := peer.Of(conn)
	if err != nil {
		return Expected{}, err
	}
	for deadline := time.Now().Add(recordLimit); ; time.Sleep(recordLimit / 20) {
		e, ok := s.Expect(message.Component, int(id.PID))
		if ok && int(id.PID) == e.PID && id.UID == e.UID {
			return e, nil
		}
		if time.Now().After(deadline) {
			return Expected{}, fmt.Errorf("%v says it is %q: %w", id, message.Component, unix.EPERM)
		}
	}
}

// offer passes one socket on. A name that the manifest no longer has is left alone.
func (s *Server) offer(component, name string, sockets []manifest.Socket, f *os.File) error {
	for _, want := range sockets {
		if want.Name != name {
			continue
		}
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		var offered error
		if err := raw.Control(func(fd uintptr) { offered = s.Offer(component, want, int(fd)) }); err != nil {
			return err
		}
		return offered
	}
	return nil
}
