// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fdpass_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ashlar-nos/ashlar/services/kit/fdpass"
)

func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: fdpass.Network}
	l, err := net.ListenUnix(fdpass.Network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.DialUnix(fdpass.Network, nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestDescriptorsArrive(t *testing.T) {
	a, b := pair(t)
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("dressed stone"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sent := fdpass.Return{Component: "rib", PID: 42, Names: []string{"api"}}
	if err := fdpass.Send(a, sent, []*os.File{f}); err != nil {
		t.Fatal(err)
	}
	var got fdpass.Return
	files, err := fdpass.Receive(b, &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Component != "rib" || got.PID != 42 || !slices.Equal(got.Names, sent.Names) || len(files) != 1 {
		t.Fatalf("got %+v with %d files", got, len(files))
	}
	defer files[0].Close()
	text := make([]byte, 13)
	if _, err := files[0].ReadAt(text, 0); err != nil || string(text) != "dressed stone" {
		t.Errorf("read %q, %v through the passed descriptor", text, err)
	}
}

func TestGarbageLeavesNothingOpen(t *testing.T) {
	a, b := pair(t)
	if _, err := a.Write([]byte("{not json")); err != nil {
		t.Fatal(err)
	}
	var got fdpass.Return
	if files, err := fdpass.Receive(b, &got); err == nil || files != nil {
		t.Errorf("got %d files and error %v, want an error", len(files), err)
	}
}

func TestClosedConnection(t *testing.T) {
	a, b := pair(t)
	a.Close()
	if _, err := fdpass.Receive(b, &struct{}{}); err == nil {
		t.Error("want an error after the other side closed")
	}
}
