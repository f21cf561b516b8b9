// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package handback_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/handback"
	"github.com/ashlar-nos/ashlar/services/kit/fdpass"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// serve runs a server that knows one component; offered names go to the channel.
func serve(t *testing.T, known handback.Expected) (path string, offered <-chan string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "handback-")
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan string, 16)
	s := &handback.Server{
		Path: filepath.Join(dir, "fds.sock"),
		Expect: func(component string, _ int) (handback.Expected, bool) {
			return known, component == "rib"
		},
		Offer: func(component string, s manifest.Socket, _ int) error {
			names <- component + "/" + s.Name
			return nil
		},
		Log: slog.New(slog.DiscardHandler),
	}
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx, l); close(done) }()
	t.Cleanup(func() { cancel(); <-done; os.RemoveAll(dir) })
	return s.Path, names
}

func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix(fdpass.Network, nil, &net.UnixAddr{Name: path, Net: fdpass.Network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// self is this process as the supervisor would know it.
func self() handback.Expected {
	return handback.Expected{PID: os.Getpid(), UID: uint32(os.Getuid()), Sockets: []manifest.Socket{{Name: "api", Unix: "rib.sock"}}}
}

func files(t *testing.T, n int) []*os.File {
	t.Helper()
	var out []*os.File
	for range n {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		out = append(out, f)
	}
	return out
}

// closed waits for the server to end the connection.
func closed(t *testing.T, c *net.UnixConn) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	if e, ok := err.(net.Error); err == nil || ok && e.Timeout() {
		t.Errorf("the connection was kept: %v", err)
	}
}

func TestKnownComponentIsHeard(t *testing.T) {
	path, offered := serve(t, self())
	c := dial(t, path)
	message := fdpass.Return{Component: "rib", PID: os.Getpid(), Names: []string{"api", "gone"}}
	if err := fdpass.Send(c, message, files(t, 2)); err != nil {
		t.Fatal(err)
	}
	select {
	case name := <-offered:
		if name != "rib/api" {
			t.Errorf("offered %s", name)
		}
	case <-time.After(patience):
		t.Fatal("nothing was offered")
	}
	// The connection stays until the supervisor ends; a second component may come meanwhile.
	if err := fdpass.Send(dial(t, path), message, files(t, 2)); err != nil {
		t.Fatal(err)
	}
	<-offered
}

func TestOthersAreRefused(t *testing.T) {
	right := fdpass.Return{Component: "rib", PID: os.Getpid(), Names: []string{"api"}}
	for _, test := range []struct {
		desc    string
		known   func(*handback.Expected)
		message any
		files   int
	}{
		{"another user", func(e *handback.Expected) { e.UID = 739999 }, right, 1},
		{"another process", func(e *handback.Expected) { e.PID++ }, right, 1},
		{"unknown component", nil, fdpass.Return{Component: "nobody", Names: []string{"api"}}, 1},
		{"fewer sockets than names", nil, fdpass.Return{Component: "rib", Names: []string{"api", "more"}}, 1},
		{"no JSON object", nil, "rib", 1},
	} {
		t.Run(test.desc, func(t *testing.T) {
			known := self()
			if test.known != nil {
				test.known(&known)
			}
			path, offered := serve(t, known)
			c := dial(t, path)
			if err := fdpass.Send(c, test.message, files(t, test.files)); err != nil {
				t.Fatal(err)
			}
			closed(t, c)
			if len(offered) != 0 {
				t.Error("its sockets were taken")
			}
		})
	}
}

func TestGarbageIsRefused(t *testing.T) {
	path, _ := serve(t, self())
	c := dial(t, path)
	if _, err := c.Write([]byte{0, 255, '{'}); err != nil {
		t.Fatal(err)
	}
	closed(t, c)
}
