// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxLinkName is the kernel's limit for an interface's name (IFNAMSIZ without its zero).
const maxLinkName = 15

// CheckLink reports why a name cannot be an interface's.
func CheckLink(name string) error {
	if name == "" || len(name) > maxLinkName || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n") {
		return fmt.Errorf("%q is no interface name: want at most %d bytes without \"/\", \":\" and blanks", name, maxLinkName)
	}
	return nil
}

// Links returns the interfaces of this network namespace, loopback left out, in order of name.
func Links() ([]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var out []string
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			out = append(out, i.Name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// DefaultRouteLinks returns the interfaces that carry a default route of either family: those by which the
// operator is most likely connected.
func DefaultRouteLinks() ([]string, error) {
	v4, err := routeLinks("/proc/net/route", func(f []string) (string, bool) {
		return f[0], len(f) > 7 && f[1] == "00000000" && f[7] == "00000000"
	})
	if err != nil {
		return nil, err
	}
	v6, err := routeLinks("/proc/net/ipv6_route", func(f []string) (string, bool) {
		if len(f) < 10 || strings.Trim(f[0], "0") != "" || f[1] != "00" {
			return "", false
		}
		flags, err := strconv.ParseUint(f[8], 16, 32)
		// The kernel keeps a reject route to everywhere on loopback; it is no way out.
		const reject = 0x0200
		return f[9], err == nil && flags&reject == 0 && f[9] != "lo"
	})
	out := append(v4, v6...)
	slices.Sort(out)
	return slices.Compact(out), err
}

func routeLinks(file string, match func(fields []string) (string, bool)) ([]string, error) {
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		// A kernel without the family.
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if name, ok := match(fields); ok {
			out = append(out, name)
		}
	}
	return out, lines.Err()
}
