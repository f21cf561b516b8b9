// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"net"
	"regexp"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/vishvananda/netlink"
)

// Topology is a network that stands.
type Topology struct {
	Name                 string
	Device, HostA, HostB *netns.Namespace
	Management           Management
}

var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,47}$`)

// namespaceNames are the names of the namespaces for device, host A and host B.
func namespaceNames(name string) [3]string {
	return [3]string{"ashlar-" + name + "-device", "ashlar-" + name + "-a", "ashlar-" + name + "-b"}
}

// Build makes the network. The name tells it from others on the machine: lower-case letters, digits and
// dashes, at most 48. What was made before a failure is taken away again. fs.ErrExist: it is there already.
func Build(name string) (*Topology, error) {
	if !nameRule.MatchString(name) {
		return nil, fmt.Errorf("lab name %q: lower-case letters, digits and dashes, at most 48", name)
	}
	t := &Topology{Name: name}
	names := namespaceNames(name)
	for i, slot := range []**netns.Namespace{&t.Device, &t.HostA, &t.HostB} {
		namespace, err := netns.Create(names[i])
		if err != nil {
			return nil, errors.Join(err, t.removeCreated())
		}
		*slot = namespace
	}
	if err := t.furnish(); err != nil {
		return nil, errors.Join(err, t.Close(), Destroy(name))
	}
	return t, nil
}

// removeCreated takes away only what this Build made, not a namesake's.
func (t *Topology) removeCreated() (err error) {
	for _, namespace := range []*netns.Namespace{t.Device, t.HostA, t.HostB} {
		if namespace != nil {
			err = errors.Join(err, netns.Remove(namespace.Name()), namespace.Close())
		}
	}
	return err
}

func (t *Topology) furnish() error {
	for _, namespace := range []*netns.Namespace{t.Device, t.HostA, t.HostB} {
		if err := raiseLoopback(namespace); err != nil {
			return err
		}
	}
	for _, link := range Links() {
		if err := t.connect(link); err != nil {
			return fmt.Errorf("link %s: %w", link.Port, err)
		}
	}
	if err := t.routeHosts(); err != nil {
		return err
	}
	var err error
	t.Management, err = connectManagement(t.Name, t.Device)
	return err
}

// Host returns the namespace at the host's end of a link.
func (t *Topology) Host(link Link) *netns.Namespace {
	if link.HostB {
		return t.HostB
	}
	return t.HostA
}

// HardwareAddress is the MAC address of a device's port.
func (t *Topology) HardwareAddress(port string) (net.HardwareAddr, error) {
	link, err := find(t.Device, port)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, nil
}

// Open returns a network that Build made, perhaps in another process.
func Open(name string) (*Topology, error) {
	t := &Topology{Name: name}
	names := namespaceNames(name)
	for i, slot := range []**netns.Namespace{&t.Device, &t.HostA, &t.HostB} {
		namespace, err := netns.Open(names[i])
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		*slot = namespace
	}
	var err error
	if t.Management, err = findManagement(name, t.Device); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Close gives up the descriptors; the network stays until Destroy.
func (t *Topology) Close() (err error) {
	for _, namespace := range []*netns.Namespace{t.Device, t.HostA, t.HostB} {
		if namespace != nil {
			err = errors.Join(err, namespace.Close())
		}
	}
	return err
}

// Destroy takes a network away by its name, whatever part of it is left. Nothing there is no error.
// Processes inside must have ended, or their namespace lives on without a name.
func Destroy(name string) (err error) {
	err = removeManagement(name)
	for _, namespace := range namespaceNames(name) {
		err = errors.Join(err, removeLinks(namespace), netns.Remove(namespace))
	}
	return err
}

// removeLinks deletes the links of a namespace, since the kernel ends namespaces at leisure and links with them.
func removeLinks(name string) error {
	namespace, err := netns.Open(name)
	if err != nil {
		return nil // not there
	}
	defer namespace.Close()
	handle, err := namespace.Netlink()
	if err != nil {
		return nil // a name without a namespace behind it, left by a crash
	}
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		return err
	}
	for _, link := range links {
		if link.Type() != "veth" {
			continue
		}
		var gone netlink.LinkNotFoundError
		if removal := handle.LinkDel(link); removal != nil && !errors.As(removal, &gone) && !missing(removal) {
			err = errors.Join(err, fmt.Errorf("remove %s in %s: %w", link.Attrs().Name, name, removal))
		}
	}
	return err
}

func find(namespace *netns.Namespace, name string) (netlink.Link, error) {
	handle, err := namespace.Netlink()
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	link, err := handle.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", name, namespace.Path(), err)
	}
	return link, nil
}
