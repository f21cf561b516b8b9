// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
)

// expectRefusal runs the supervisor, which must end with an error that has all the words.
func (d *device) expectRefusal(words ...string) {
	d.t.Helper()
	out, err := exec.Command(filepath.Join(programs, "ashlard"), "--root", d.layout.Root, "--generation", d.generation).CombinedOutput()
	if err == nil {
		d.t.Fatalf("it ran: %s", out)
	}
	for _, w := range words {
		if !strings.Contains(string(out), w) {
			d.t.Errorf("the error lacks %q: %s", w, out)
		}
	}
}

func TestBadGenerations(t *testing.T) {
	one := component{name: "one", provides: "test.one.v1"}
	for _, test := range []struct {
		desc       string
		components []component
		words      []string
	}{
		{"none", nil, []string{"no such file or directory"}},
		{"unknown key", []component{{name: "one", more: "colour: red\n"}}, []string{"one/component.yaml", "colour"}},
		{"cycle", []component{
			{name: "one", provides: "test.one.v1", requires: []string{"test.two.v1"}},
			{name: "two", provides: "test.two.v1", requires: []string{"test.one.v1"}},
		}, []string{"wait for each other", "one needs two needs one"}},
		{"missing provider", []component{{name: "one", requires: []string{"test.no.v1"}}}, []string{"one requires test.no.v1 and nobody provides it"}},
		{"two providers", []component{one, {name: "two", provides: "test.one.v1"}}, []string{"one and two both provide test.one.v1"}},
		{"level", []component{one, {name: "two", requires: []string{"test.one.v1"}, level: 3}}, []string{"test.one.v1 at level ≥ 3", "one provides level 2"}},
		{"capability", []component{{name: "one", more: "capabilities: [CAP_ALL]\n"}}, []string{"CAP_ALL"}},
	} {
		t.Run(test.desc, func(t *testing.T) {
			newDevice(t, test.components...).expectRefusal(test.words...)
		})
	}
}

func TestPrivateRootIsRefused(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	if err := os.Chmod(filepath.Dir(d.layout.Root), 0o700); err != nil {
		t.Fatal(err)
	}
	d.expectRefusal("users of their own", "chmod o+x "+filepath.Dir(d.layout.Root))
}

func TestUnknownCallerIsRefused(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	path := d.layout.Socket("supervisor.sock")
	dial := func(context.Context, string) (net.Conn, error) { return dialAs(d.get("one").GetUid(), path) }
	conn, err := grpc.NewClient("passthrough:///supervisor", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := wait()
	defer cancel()
	_, err = supervisorv1.NewSupervisorClient(conn).List(ctx, &supervisorv1.ListRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a component without an edge: %v", err)
	}
}

// dialAs connects from a thread that has another user's identity, and ends with it.
func dialAs(uid uint32, path string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			c, err := dialAs(uid, path)
			done <- result{c, err}
			runtime.UnlockOSThread()
			return
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			done <- result{err: errno}
			return
		}
		c, err := connect(path)
		done <- result{c, err}
	}()
	r := <-done
	return r.conn, r.err
}

func connect(path string) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}
