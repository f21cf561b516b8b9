// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package sockets holds the listening sockets of all components for as long as the supervisor lives.
//
// A socket is made once and given to every successive process of its component; between two processes
// it stays open, so that clients wait in its queue and are not refused. After the supervisor itself
// died, living components return their sockets (Offer), or they are taken out of the process (Take);
// what nobody holds any more is made anew (Ensure).
//
// A Set is safe for concurrent use. Descriptors that it returns stay its own and are valid until Close.
package sockets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the sockets are closed")

// Set is the collection. Sockets are known by component, name and address, so that two versions of a component may
// listen on different ones side by side.
type Set struct {
	dir string

	mu     sync.Mutex
	held   map[key]held
	closed bool
	// changed is closed and replaced when a socket is added.
	changed chan struct{}
}

type key struct{ component, name, address string }

func keyOf(component string, s manifest.Socket) key { return key{component, s.Name, s.Unix + s.TCP} }

type held struct {
	fd     int
	socket manifest.Socket
}

// New returns an empty set whose unix sockets lie in dir.
func New(dir string) *Set {
	return &Set{dir: dir, held: map[key]held{}, changed: make(chan struct{})}
}

// Ensure returns the component's sockets in the order given and makes those that are not held.
func (s *Set) Ensure(ctx context.Context, component string, sockets []manifest.Socket) ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	fds := make([]int, 0, len(sockets))
	for _, want := range sockets {
		k := keyOf(component, want)
		h, ok := s.held[k]
		if !ok {
			fd, err := bind(ctx, s.dir, want)
			if err != nil {
				return nil, fmt.Errorf("listen on %q of %s: %w", want.Name, component, err)
			}
			h = held{fd: fd, socket: want}
			s.add(k, h)
		}
		fds = append(fds, h.fd)
	}
	return fds, nil
}

// Offer takes a socket that a component returned. The descriptor stays the caller's. One that is already
// held changes nothing; one that is not what the manifest describes is an error.
func (s *Set) Offer(component string, want manifest.Socket, fd int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if _, ok := s.held[keyOf(component, want)]; ok {
		return nil
	}
	if !matches(fd, s.dir, want) {
		return fmt.Errorf("the descriptor returned as %q of %s is not that listening socket", want.Name, component)
	}
	own, err := duplicate(fd)
	if err != nil {
		return err
	}
	s.add(keyOf(component, want), held{fd: own, socket: want})
	return nil
}

// Holder is a process whose sockets can be taken.
type Holder interface {
	Sockets() ([]int, error)
	Descriptor(fd int) (int, error)
}

// Take gets the component's missing sockets out of a process that holds them, without its help.
func (s *Set) Take(component string, sockets []manifest.Socket, from Holder) error {
	numbers, err := from.Sockets()
	if err != nil {
		return fmt.Errorf("sockets of %s: %w", component, err)
	}
	for _, n := range numbers {
		fd, err := from.Descriptor(n)
		if err != nil {
			return fmt.Errorf("sockets of %s: %w", component, err)
		}
		for _, want := range sockets {
			if matches(fd, s.dir, want) {
				err = errors.Join(err, s.Offer(component, want, fd))
			}
		}
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// Missing returns those of the sockets that are not held.
func (s *Set) Missing(component string, sockets []manifest.Socket) []manifest.Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missing(component, sockets)
}

func (s *Set) missing(component string, sockets []manifest.Socket) []manifest.Socket {
	var out []manifest.Socket
	for _, want := range sockets {
		if _, ok := s.held[keyOf(component, want)]; !ok {
			out = append(out, want)
		}
	}
	return out
}

// Await waits until all the sockets are held or ctx ends, and returns those still missing.
func (s *Set) Await(ctx context.Context, component string, sockets []manifest.Socket) []manifest.Socket {
	for {
		s.mu.Lock()
		missing, changed := s.missing(component, sockets), s.changed
		s.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return missing
		case <-changed:
		}
	}
}

func (s *Set) add(k key, h held) {
	s.held[k] = h
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Set) drop(k key) {
	unix.Close(s.held[k].fd)
	delete(s.held, k)
}

// Held is one socket of the set.
type Held struct {
	Component string
	Socket    manifest.Socket
	FD        int
}

// Held lists all sockets. The descriptors stay the set's own.
func (s *Set) Held() []Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Held
	for k, h := range s.held {
		out = append(out, Held{Component: k.component, Socket: h.socket, FD: h.fd})
	}
	return out
}

// Inherit takes a socket that the program before this one held. The descriptor becomes the set's own.
func (s *Set) Inherit(h Held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(keyOf(h.Component, h.Socket), held{fd: h.FD, socket: h.Socket})
}

// Retain closes those of the component's sockets that are not among the ones to keep, and removes their files.
func (s *Set) Retain(component string, keep []manifest.Socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := map[key]bool{}
	for _, k := range keep {
		kept[keyOf(component, k)] = true
	}
	for k, h := range s.held {
		if k.component != component || kept[k] {
			continue
		}
		if h.socket.Unix != "" {
			os.Remove(filepath.Join(s.dir, h.socket.Unix))
		}
		s.drop(k)
	}
}

// Close closes every socket. With unlink, the files of unix sockets are removed too, as after the components
// have been stopped; without, living components go on listening.
func (s *Set) Close(unlink bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for k, h := range s.held {
		if unlink && h.socket.Unix != "" {
			os.Remove(filepath.Join(s.dir, h.socket.Unix))
		}
		s.drop(k)
	}
}
