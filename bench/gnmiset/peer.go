// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/ashlar-nos/ashlar/bench/internal/router"
)

// recorder is the peer: it writes each request to a file, syncs and answers.
type recorder struct {
	gnmi.UnimplementedGNMIServer
	mu   sync.Mutex
	file *os.File
}

// Set implements the least of gNMI's.
func (r *recorder) Set(_ context.Context, request *gnmi.SetRequest) (*gnmi.SetResponse, error) {
	b, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.file.Write(b); err != nil {
		return nil, err
	}
	if err := unix.Fdatasync(int(r.file.Fd())); err != nil {
		return nil, err
	}
	return &gnmi.SetResponse{Timestamp: time.Now().UnixNano()}, nil
}

// servePeer is the peer's process. It ends with its parent's end of the standard input.
func servePeer(socket, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	gnmi.RegisterGNMIServer(s, &recorder{file: f})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		s.Stop()
	}()
	return s.Serve(l)
}

// peer is the peer's process as seen from here.
type peer struct {
	gnmi       gnmi.GNMIClient
	connection *grpc.ClientConn
	process    *exec.Cmd
	stdin      interface{ Close() error }
}

// startPeer runs this program as the peer, in a directory of its own on the device's disk.
func startPeer(ctx context.Context, directory string) (*peer, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(directory, "sock")
	p := &peer{process: exec.Command(self, "-peer", socket, "-file", filepath.Join(directory, "log"))}
	p.process.Stderr = os.Stderr
	if p.stdin, err = p.process.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.process.Start(); err != nil {
		return nil, err
	}
	if p.connection, err = router.Dial(socket); err != nil {
		p.stop()
		return nil, err
	}
	p.gnmi = gnmi.NewGNMIClient(p.connection)
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := p.gnmi.Set(within, &gnmi.SetRequest{}, grpc.WaitForReady(true)); err != nil {
		p.stop()
		return nil, fmt.Errorf("the peer does not answer: %w", err)
	}
	return p, nil
}

func (p *peer) stop() error {
	var err error
	if p.connection != nil {
		err = p.connection.Close()
	}
	return errors.Join(err, p.stdin.Close(), p.process.Wait())
}
