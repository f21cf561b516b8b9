// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package instance

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/ashlar-nos/ashlar/lab/topology"
)

// gnmiPort is where the device serves gNMI by TLS, gnmiSocket where it serves it to its own machine.
const (
	gnmiPort   = "9339"
	gnmiSocket = "gnmi.sock"
)

// Socket is the device's local gNMI socket.
func (l *Lab) Socket() string { return l.Device.Layout.Socket(gnmiSocket) }

// Address is host:port of the device's gNMI, reachable from the root namespace.
func (l *Lab) Address() string {
	return net.JoinHostPort(l.Topology.Management.Device.Addr().String(), gnmiPort)
}

// Environment tells others how to reach the lab: names and values in order.
func (l *Lab) Environment() [][2]string {
	pki := filepath.Join(l.Device.Layout.StateDir(), "pki")
	env := [][2]string{
		{"ASHLAR", l.CLI()},
		{"ASHLAR_SOCKET", l.Socket()},
		{"GNMI_ADDR", l.Address()},
		{"GNMI_CA", filepath.Join(pki, "ca.crt")},
		{"GNMI_CERT", filepath.Join(pki, "client.crt")},
		{"GNMI_KEY", filepath.Join(pki, "client.key")},
		{"GNMI_USER", User},
		{"GNMI_PASSWORD", l.Password},
		{"DEVICE_NETNS", l.Topology.Device.Name()},
		{"DEVICE_STATE_DIR", l.Device.Root},
		{"DEVICE_IF_A", topology.LinkA.Port},
		{"DEVICE_IF_B", topology.LinkB1.Port},
		{"DEVICE_IF_B2", topology.LinkB2.Port},
		{"DEVICE_IP4_A", topology.LinkA.Port4.Addr().String()},
		{"DEVICE_IP6_A", topology.LinkA.Port6.Addr().String()},
		{"DEVICE_IP4_B", topology.LinkB1.Port4.Addr().String()},
		{"DEVICE_IP6_B", topology.LinkB1.Port6.Addr().String()},
	}
	env = append(env, hostEnvironment("HOST_A", l.Topology.HostA.Name(), topology.LinkA)...)
	return append(env, hostEnvironment("HOST_B", l.Topology.HostB.Name(), topology.LinkB1)...)
}

func hostEnvironment(prefix, namespace string, link topology.Link) [][2]string {
	return [][2]string{
		{prefix + "_NETNS", namespace},
		{prefix + "_IF", link.HostInterface},
		{prefix + "_IP4", link.Host4.Addr().String()},
		{prefix + "_IP6", link.Host6.Addr().String()},
	}
}

// Default is the name of the lab whose environment is also in build/lab/env.
const Default = "default"

// WriteEnvironment writes KEY=VALUE lines to build/lab/<name>/env, readable by root alone since the
// password is in it, and returns the file's path. The default lab's is build/lab/env.
func (l *Lab) WriteEnvironment() (string, error) {
	var text strings.Builder
	for _, entry := range l.Environment() {
		text.WriteString(entry[0] + "=" + entry[1] + "\n")
	}
	path := environmentFile(l.build, l.place, l.Name)
	return path, replace(path, []byte(text.String()), 0o600)
}

func environmentFile(build string, p place, name string) string {
	if name == Default {
		return filepath.Join(build, "lab", "env")
	}
	return p.env()
}

func removeEnvironment(build string, p place, name string) error {
	err := os.Remove(environmentFile(build, p, name))
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
