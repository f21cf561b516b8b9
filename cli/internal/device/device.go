// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package device finds a device and connects to it: by the sockets of one on this machine, or by gNMI over
// TLS to one elsewhere. Connections are lazy; a Device is used by one goroutine and closed once.
package device

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// gnmiSocket is the file name of the unix socket on which config serves gNMI to this machine.
const gnmiSocket = "gnmi.sock"

// lookLimit bounds the look at one socket for somebody who listens.
const lookLimit = 250 * time.Millisecond

// maxMessage bounds an answer: a whole configuration may be in one.
const maxMessage = 256 << 20

// Options say where the device is. At most one of Root, Socket and Target is set.
type Options struct {
	// Root is the relocation root of a device on this machine; "" means "/".
	Root string
	// Socket is the path of its gNMI socket; its other sockets are beside it.
	Socket string
	// Target is host:port of gNMI elsewhere; CA, Cert, Key are PEM files.
	Target         string
	CA, Cert, Key  string
	User, Password string
}

// FromEnvironment fills in what no flag said. The first of ASHLAR_SOCKET, which says most, ASHLAR_ROOT and
// GNMI_ADDR that is set decides where the device is.
func (o Options) FromEnvironment(getenv func(string) string) Options {
	if o.Root == "" && o.Socket == "" && o.Target == "" {
		switch {
		case getenv("ASHLAR_SOCKET") != "":
			o.Socket = getenv("ASHLAR_SOCKET")
		case getenv(layout.EnvRoot) != "":
			o.Root = getenv(layout.EnvRoot)
		default:
			o.Target = getenv("GNMI_ADDR")
		}
	}
	for field, name := range map[*string]string{
		&o.CA: "GNMI_CA", &o.Cert: "GNMI_CERT", &o.Key: "GNMI_KEY", &o.User: "GNMI_USER", &o.Password: "GNMI_PASSWORD",
	} {
		if *field == "" {
			*field = getenv(name)
		}
	}
	return o
}

// Device is one device.
type Device struct {
	options Options
	// run is the directory of the sockets; "" for a device elsewhere.
	run   string
	conns []*grpc.ClientConn
}

// Open checks the options. It connects to nothing yet.
func Open(o Options) (*Device, error) {
	set := 0
	for _, s := range []string{o.Root, o.Socket, o.Target} {
		if s != "" {
			set++
		}
	}
	switch {
	case set > 1:
		return nil, fail.Usagef("--root, --socket and --target each say where the device is: give one of them")
	case o.Target != "":
		return &Device{options: o}, nil
	case o.Socket != "":
		return &Device{options: o, run: filepath.Dir(o.Socket)}, nil
	}
	l, err := layout.New(o.Root)
	if err != nil {
		return nil, fail.Usagef("--root: %v", err)
	}
	return &Device{options: o, run: l.RunDir()}, nil
}

// Close ends all connections.
func (d *Device) Close() {
	for _, c := range d.conns {
		c.Close()
	}
}

// Remote reports whether only gNMI reaches the device.
func (d *Device) Remote() bool { return d.run == "" }

// Present reports whether the place of the device's sockets exists: if not, waiting for one is in vain.
func (d *Device) Present() bool {
	if d.Remote() {
		return true
	}
	_, err := os.Stat(d.run)
	return err == nil
}

// GNMI returns the gNMI client.
func (d *Device) GNMI() (gnmi.GNMIClient, fail.Place, error) {
	if d.Remote() {
		conn, err := d.dialRemote()
		return gnmi.NewGNMIClient(conn), fail.Place{Address: d.options.Target, Component: "config"}, err
	}
	path := d.options.Socket
	if path == "" {
		path = filepath.Join(d.run, gnmiSocket)
	}
	conn, err := d.dial(path)
	return gnmi.NewGNMIClient(conn), d.local(path, "config"), err
}

// Component returns a connection to a component's own socket. Only a device on this machine has one.
func (d *Device) Component(name string) (*grpc.ClientConn, fail.Place, error) {
	if d.Remote() {
		return nil, fail.Place{}, fail.Refusef("run it on the device itself; from elsewhere use `ashlar get` on the model's paths",
			"this needs the %s component's socket, and %s is reached by gNMI only", name, d.options.Target)
	}
	path := filepath.Join(d.run, name+".sock")
	conn, err := d.dial(path)
	return conn, d.local(path, name), err
}

// local describes a socket of this machine for errors.
func (d *Device) local(path, component string) fail.Place {
	return fail.Place{Address: path, Local: true, Component: component, Answering: d.answering}
}

// answering names the components whose own sockets somebody listens on, in order.
func (d *Device) answering() []string {
	const suffix = ".sock"
	files, _ := filepath.Glob(filepath.Join(d.run, "*"+suffix))
	var names []string
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), suffix)
		if strings.Contains(name, ".") || filepath.Base(f) == gnmiSocket {
			continue // another socket of a component
		}
		if c, err := net.DialTimeout("unix", f, lookLimit); err == nil {
			c.Close()
			names = append(names, name)
		}
	}
	return names
}

func (d *Device) dial(socket string) (*grpc.ClientConn, error) {
	abs, err := filepath.Abs(socket)
	if err != nil {
		return nil, fail.Usagef("socket %q: %v", socket, err)
	}
	return d.connect("unix://"+abs, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func (d *Device) connect(target string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	options = append(options,
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(quickly()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fail.Usagef("%s: %v", target, err)
	}
	d.conns = append(d.conns, conn)
	return conn, nil
}
