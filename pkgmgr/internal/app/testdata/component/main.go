// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Command component is a component that misbehaves on request: the tests of the supervisor run it under many
// names. It stands on the kit like any other and takes its manifest from its tree.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ashlar-nos/ashlar/services/kit"
)

func main() {
	text, err := os.ReadFile(filepath.Join(os.Getenv(kit.EnvTree), "component.yaml"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	kit.Main(text, construct)
}

// service answers commands, one a line, on the socket "echo".
type service struct {
	rt   *kit.Runtime
	echo net.Listener
}

func construct(_ context.Context, rt *kit.Runtime) (kit.Service, error) {
	s := &service{rt: rt}
	if s.flag("crash-at-start") {
		return nil, errors.New("crashes at start, as asked")
	}
	var err error
	s.echo, err = rt.Listener("echo")
	return s, err
}

// flag reports whether the test has put a file of that name into the component's state directory.
func (s *service) flag(name string) bool {
	_, err := os.Stat(filepath.Join(s.rt.Layout.ComponentState(s.rt.Manifest.Name), name))
	return err == nil
}

func (s *service) Probe(context.Context) error {
	if s.flag("unready") {
		return errors.New("the canary does not sing")
	}
	return nil
}

func (s *service) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { s.echo.Close() })()
	for {
		c, err := s.echo.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go s.serve(ctx, c)
	}
}

func (s *service) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		fmt.Fprintln(c, s.obey(ctx, strings.Fields(lines.Text())))
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
	case "print":
		fmt.Println(strings.Join(command[1:], " "))
	}
	return fmt.Sprint("pid ", os.Getpid())
}
