// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"unsafe"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"golang.org/x/sys/unix"
)

// ethtool commands of linux/ethtool.h that take one word.
const (
	setTransmitChecksum = 0x00000017 // ETHTOOL_STXCSUM
	setReceiveGRO       = 0x0000002c // ETHTOOL_SGRO
)

// ethtoolValue is struct ethtool_value; ethtoolRequest struct ifreq with ifr_data pointing at it.
type ethtoolValue struct {
	command uint32
	data    uint32
}

type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// offloads prepares a veth end that faces an XDP router. GRO on: the kernel drops frames redirected
// into a veth whose peer has neither GRO nor XDP, and learns of GRO only on a link that is up. Transmit checksums off: a virtual link would leave
// them unfinished, and the router sends the packet on as it is.
func offloads(namespace *netns.Namespace, name string) error {
	return namespace.Do(func() error {
		if err := ethtool(name, setReceiveGRO, 1); err != nil {
			return fmt.Errorf("GRO on for %s: %w", name, err)
		}
		if err := ethtool(name, setTransmitChecksum, 0); err != nil {
			return fmt.Errorf("transmit checksum offload off for %s: %w", name, err)
		}
		return nil
	})
}

func ethtool(name string, command, data uint32) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	value := ethtoolValue{command: command, data: data}
	request := ethtoolRequest{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}
