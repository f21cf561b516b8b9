// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package router runs a lab's device for benchmarks: configured as in the demo, in a lab of the
// benchmark's own, taken away at the end.
package router

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// startLimit bounds the start of a device.
const startLimit = 60 * time.Second

// Router is a device that forwards between the lab's hosts. Its methods are safe for concurrent use.
type Router struct {
	*instance.Lab
	// GNMI is a client on the device's unix socket.
	GNMI gnmi.GNMIClient

	build      string
	connection *grpc.ClientConn
}

// Up starts and configures a device out of what was built. The lab's name carries the process id, so that
// benchmarks may run beside a lab.
func Up(ctx context.Context, build, name string) (*Router, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("it makes network namespaces and loads BPF programs: run it as root")
	}
	within, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	lab, err := instance.Up(within, build, fmt.Sprintf("%s-%d", name, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("%w (is everything built? `make build`)", err)
	}
	r := &Router{Lab: lab, build: build}
	if r.connection, err = Dial(lab.Socket()); err == nil {
		r.GNMI = gnmi.NewGNMIClient(r.connection)
		err = r.Set(within, append(intent.Interfaces(), intent.Routes()...)...)
	}
	if err != nil {
		return nil, errors.Join(err, lab.KeepLogs(), r.Down())
	}
	return r, nil
}

// Dial connects to a unix socket without transport security, as the device's own clients do.
func Dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// Set makes one transaction of entries "path=value", as `ashlar set --update` takes them.
func (r *Router) Set(ctx context.Context, entries ...string) error {
	request, err := Request(entries...)
	if err != nil {
		return err
	}
	_, err = r.GNMI.Set(ctx, request)
	return err
}

// Request makes a Set of entries "path=value".
func Request(entries ...string) (*gnmi.SetRequest, error) {
	request := &gnmi.SetRequest{}
	for _, entry := range entries {
		at := strings.LastIndexByte(entry, '=')
		if at < 0 {
			return nil, fmt.Errorf("%q: want path=value", entry)
		}
		path, err := gpath.Parse(entry[:at])
		if err != nil {
			return nil, err
		}
		value := &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: jsonOf(entry[at+1:])}}
		request.Update = append(request.Update, &gnmi.Update{Path: path, Val: value})
	}
	return request, nil
}

// jsonOf writes numbers as they are and all else as text.
func jsonOf(value string) []byte {
	if value != "" && strings.Trim(value, "0123456789") == "" {
		return []byte(value)
	}
	return fmt.Appendf(nil, "%q", value)
}

// Down takes the lab away.
func (r *Router) Down() error {
	var err error
	if r.connection != nil {
		err = r.connection.Close()
	}
	return errors.Join(err, r.Close(), instance.Down(context.Background(), r.build, r.Name))
}
