// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package fdpass carries open descriptors between processes over a unix socket (SCM_RIGHTS, unix(7)).
//
// A message is one JSON value and the descriptors that belong to it, sent as one datagram of a SOCK_SEQPACKET
// connection, so that it arrives whole or not at all. Received descriptors are close-on-exec.
package fdpass

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Network is the kind of unix socket that the messages travel on.
const Network = "unixpacket"

const (
	// MaxFiles is how many descriptors one message may carry; the kernel's own limit is 253.
	MaxFiles   = 64
	maxMessage = 16 << 10
)

// Return is what a component says when it gives its listening sockets to a new supervisor. The
// descriptors follow in the order of Names.
type Return struct {
	Component string   `json:"component"`
	PID       int      `json:"pid"`
	Names     []string `json:"names"`
}

// Send sends one message. The files stay open here.
func Send(c *net.UnixConn, message any, files []*os.File) error {
	b, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("fdpass: %w", err)
	}
	if len(b) > maxMessage || len(files) > MaxFiles {
		return fmt.Errorf("fdpass: message of %d bytes with %d descriptors: the limits are %d and %d", len(b), len(files), maxMessage, MaxFiles)
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	if _, _, err := c.WriteMsgUnix(b, unix.UnixRights(fds...), nil); err != nil {
		return fmt.Errorf("fdpass: %w", err)
	}
	return nil
}

// Receive reads one message into message and returns its descriptors, which the caller must close.
// A message that is cut short or does not parse is an error and leaves nothing open.
func Receive(c *net.UnixConn, message any) ([]*os.File, error) {
	buf := make([]byte, maxMessage)
	oob := make([]byte, unix.CmsgSpace(4*MaxFiles))
	n, oobn, flags, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, fmt.Errorf("fdpass: %w", err)
	}
	files, err := files(oob[:oobn])
	if err == nil && n == 0 {
		err = errors.New("the other side closed the connection")
	}
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("message cut short")
	}
	if err == nil {
		err = json.Unmarshal(buf[:n], message)
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return nil, fmt.Errorf("fdpass: %w", err)
	}
	return files, nil
}

func files(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var out []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			out = append(out, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return out, nil
}
