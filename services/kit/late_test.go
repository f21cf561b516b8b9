// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/services/kit/kittest"
)

// wire carries one connection to a socket and can hold everything up, as a client that the machine does not run.
type wire struct {
	listener net.Listener
	held     sync.Mutex
}

func newWire(t *testing.T, socket string) *wire {
	t.Helper()
	l, err := net.Listen("unix", socket+".wire")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &wire{listener: l}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", socket)
			if err != nil {
				near.Close()
				return
			}
			go w.carry(near, far)
			go w.carry(far, near)
		}
	}()
	return w
}

func (w *wire) carry(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		w.held.Lock()
		_, err = to.Write(b[:n])
		w.held.Unlock()
		if err != nil {
			return
		}
	}
}

// lateCall has a client call over a connection on which it has not seen the farewell, and returns its answer to come.
func lateCall(t *testing.T, d *kittest.Device) <-chan error {
	t.Helper()
	w := newWire(t, d.Layout.Socket("banner.sock"))
	conn, err := grpc.NewClient("unix://"+w.listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client, ctx := lifecyclev1.NewLifecycleClient(conn), deadline(t)
	if _, err := client.Describe(ctx, &lifecyclev1.DescribeRequest{}); err != nil {
		t.Fatal(err)
	}
	w.held.Lock()
	defer w.held.Unlock()
	answered := make(chan error, 1)
	go func() {
		_, err := client.Describe(ctx, &lifecyclev1.DescribeRequest{})
		answered <- err
	}()
	if err := d.Running().Freeze(); err != nil {
		t.Fatal(err)
	}
	return answered
}

func TestLateCallWaitsForUnfreeze(t *testing.T) {
	d := kittest.Start(t, manifestYAML, construct(idle{}))
	answered := lateCall(t, d)
	select {
	case err := <-answered:
		t.Fatalf("a frozen component answered: %v", err)
	default:
	}
	d.Running().Unfreeze()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestLateCallIsToldOfTheDrain(t *testing.T) {
	d := kittest.Start(t, manifestYAML, construct(idle{}))
	answered := lateCall(t, d)
	d.Running().Drain()
	d.Running().Wait()
	if err := <-answered; status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
}
