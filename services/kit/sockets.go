// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/services/kit/fdpass"
)

// firstInherited is the descriptor of the first socket, as systemd's socket activation has it
// (sd_listen_fds(3)).
const firstInherited = 3

// inherited is a listening socket that the supervisor made.
type inherited struct {
	name string
	file *os.File
}

func inheritedSockets(count, names string) ([]inherited, error) {
	if count == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > fdpass.MaxFiles {
		return nil, fmt.Errorf("LISTEN_FDS=%q: want a number from 0 to %d", count, fdpass.MaxFiles)
	}
	list := strings.Split(names, ":")
	if n > 0 && len(list) != n {
		return nil, fmt.Errorf("LISTEN_FDNAMES=%q names %d sockets, LISTEN_FDS says %d", names, len(list), n)
	}
	out := make([]inherited, n)
	for i := range out {
		fd := firstInherited + i
		unix.CloseOnExec(fd)
		out[i] = inherited{name: list[i], file: os.NewFile(uintptr(fd), list[i])}
	}
	return out, nil
}

// redial is the pause before the next look for a new supervisor, or the next try when one refused. It is short:
// until a new supervisor has the sockets back, nobody would hold them if this process died.
const redial = 100 * time.Millisecond

// returnSockets keeps a connection to the supervisor and gives each new one the listening sockets, so that they
// outlive both it and this process. It runs until ctx ends. A process without a token has nothing to give: the version
// that it is to take over from does.
func (rt *Runtime) returnSockets(ctx context.Context) {
	if rt.has(socketLifecycle) {
		_, _ = rt.token.wait(ctx)
	}
	for ctx.Err() == nil {
		if conn, err := rt.handBack(ctx); err == nil {
			untilClosed(ctx, conn)
		}
		select {
		case <-ctx.Done():
		case <-time.After(redial):
		}
	}
}

func (rt *Runtime) handBack(ctx context.Context) (*net.UnixConn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, fdpass.Network, rt.Layout.DescriptorSocket())
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UnixConn)
	message := fdpass.Return{Component: rt.Manifest.Name, PID: os.Getpid()}
	var files []*os.File
	for _, s := range rt.sockets {
		message.Names = append(message.Names, s.name)
		files = append(files, s.file)
	}
	if err := fdpass.Send(conn, message, files); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// untilClosed waits for the supervisor's end of the connection to go away.
func untilClosed(ctx context.Context, conn *net.UnixConn) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	one := make([]byte, 1)
	for {
		if _, err := conn.Read(one); err != nil {
			return
		}
	}
}
