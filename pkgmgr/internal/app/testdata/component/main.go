// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command component is a component that misbehaves on request: the tests of the supervisor run it under many
// names. It stands on the kit like any other and takes its manifest from its tree.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit"
)

func main() {
	tree := os.Getenv(kit.EnvTree)
	text, err := os.ReadFile(filepath.Join(tree, "component.yaml"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if _, err := os.Stat(filepath.Join(tree, "lies")); err == nil {
		text = bytes.Replace(text, []byte("version: "), []byte("version: 9"), 1)
	}
	kit.Main(text, construct)
}

// service answers commands, one a line, on the socket "echo", while it has a token and is not frozen.
type service struct {
	rt *kit.Runtime

	mu   sync.Mutex
	echo net.Listener // nil while nobody is accepted
	// accepting ends with its goroutine, serving with the connections accepted.
	accepting, serving sync.WaitGroup
	count              int
	imported           bool
}

func construct(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	s := &service{rt: rt}
	if s.flag("crash-at-start") {
		return nil, errors.New("crashes at start, as asked")
	}
	return s, nil
}

// flag reports whether the test has put a file of that name into the component's state directory, for all versions
// or for this one.
func (s *service) flag(name string) bool {
	_, all := os.Stat(s.file(name))
	_, one := os.Stat(s.file(s.rt.Manifest.Version + "." + name))
	return all == nil || one == nil
}

func (s *service) file(name string) string {
	return filepath.Join(s.rt.Layout.ComponentState(s.rt.Manifest.Name), name)
}

func (s *service) Probe(context.Context) error {
	if s.flag("unready") || s.flag("crash-when-active") {
		return errors.New("the canary does not sing")
	}
	return nil
}

// Run keeps the count in a file between two processes, unless the one before exported it.
func (s *service) Run(ctx context.Context) error {
	if _, err := s.rt.Token(ctx); err != nil {
		return nil
	}
	if s.flag("crash-when-active") {
		return errors.New("crashes when active, as asked")
	}
	if text, err := os.ReadFile(s.file("count")); err == nil && !s.imported {
		s.count, _ = strconv.Atoi(string(text))
	}
	if err := s.open(); err != nil {
		return err
	}
	<-ctx.Done()
	s.close()
	if s.flag("drain-hangs") {
		select {}
	}
	return os.WriteFile(s.file("count"), []byte(strconv.Itoa(s.count)), 0o600)
}

// open accepts connections.
func (s *service) open() error {
	l, err := s.rt.Listener("echo")
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.echo = l
	s.mu.Unlock()
	s.accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { s.serve(c) })
		}
	})
	return nil
}

// close accepts no more and waits until everybody accepted has been answered.
func (s *service) close() {
	s.mu.Lock()
	l := s.echo
	s.echo = nil
	s.mu.Unlock()
	if l == nil {
		return
	}
	l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Unix(1, 0))
	s.accepting.Wait()
	l.Close()
	s.serving.Wait()
}

// Freeze implements kit.Freezer.
func (s *service) Freeze(ctx context.Context) error {
	if s.flag("freeze-hangs") {
		<-ctx.Done()
		return ctx.Err()
	}
	s.close()
	return nil
}

// Unfreeze implements kit.Freezer.
func (s *service) Unfreeze() { s.open() }

// Export implements kit.Transferrer.
func (s *service) Export(_ context.Context, send func(string, []byte) error) error {
	return send("count", []byte(strconv.Itoa(s.count)))
}

// Import implements kit.Transferrer.
func (s *service) Import(_ context.Context, recv func() (string, []byte, error)) error {
	if s.flag("import-fails") {
		return errors.New("cannot read that")
	}
	for {
		_, data, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.count, err = strconv.Atoi(string(data))
		s.imported = true
		if err != nil {
			return err
		}
	}
}

// Rehearse implements kit.Rehearser.
func (s *service) Rehearse(context.Context) (kit.Rehearsal, error) {
	o := kit.NewOutput("lines")
	o.Add("one")
	return kit.Rehearsal{Synced: true, Outputs: []*kit.Output{o}}, nil
}

func (s *service) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		fmt.Fprintln(c, s.obey(context.Background(), strings.Fields(lines.Text())))
	}
}

func (s *service) obey(ctx context.Context, command []string) string {
	switch command[0] {
	case "exit":
		code, _ := strconv.Atoi(command[1])
		os.Exit(code)
	case "token":
		t, err := s.rt.Token(ctx)
		return fmt.Sprint(t, " ", err)
	case "eat": // more than the control group's limit
		var kept [][]byte
		for {
			kept = append(kept, make([]byte, 1<<20))
			for i := range kept[len(kept)-1] {
				kept[len(kept)-1][i] = byte(i)
			}
		}
	case "count":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count++
		return strconv.Itoa(s.count)
	case "version":
		return s.rt.Manifest.Version
	case "print":
		fmt.Println(strings.Join(command[1:], " "))
	}
	return fmt.Sprint("pid ", os.Getpid())
}
