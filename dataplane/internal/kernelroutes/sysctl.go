// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kernelroutes

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

const (
	conf4 = "/proc/sys/net/ipv4/conf"
	conf6 = "/proc/sys/net/ipv6/conf"
)

// sysctls sets what a port needs beyond its own forwarding switches. Those belong to the interface manager, which
// sets them before it names the port, repairs them, and puts them back.
type sysctls struct {
	log  *slog.Logger
	done map[uint32]string // by link index: a link that comes anew starts from the kernel's defaults
}

func newSysctls(log *slog.Logger) sysctls { return sysctls{log, map[uint32]string{}} }

// enable lets the kernel forward what arrives at a port. What cannot be set is told once: the fast path
// does not depend on it.
func (s sysctls) enable(index uint32, name string) {
	if s.done[index] == name {
		return
	}
	s.done[index] = name
	if err := errors.Join(s.reversePath(name), s.forward6(name)); err != nil {
		s.log.Warn("the kernel does not forward for a port", "port", name, "err", err)
	}
}

// reversePath turns the strict filter off: with several equal paths, and with routes that are not mirrored,
// packets rightly arrive by a link that the kernel would not answer by.
func (s sysctls) reversePath(name string) error {
	all, err := read(filepath.Join(conf4, "all", "rp_filter"))
	if err != nil {
		return err
	}
	// The kernel takes the larger of both; loose (2) is the way out of strict (1).
	value := "0"
	if all != "0" {
		value = "2"
	}
	return write(filepath.Join(conf4, name, "rp_filter"), value)
}

// forward6: a kernel without force_forwarding (before 6.17) forwards IPv6 only when all interfaces are told to.
// The others get back what they had.
func (s sysctls) forward6(name string) error {
	_, err := os.Stat(filepath.Join(conf6, name, "force_forwarding"))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if on, err := read(filepath.Join(conf6, "all", "forwarding")); err != nil || on == "1" {
		return err
	}
	return s.forwardAll6(name)
}

func (s sysctls) forwardAll6(name string) error {
	entries, err := os.ReadDir(conf6)
	if err != nil {
		return err
	}
	before := map[string]string{}
	for _, e := range entries {
		if e.Name() != "all" && e.Name() != name {
			before[e.Name()], _ = read(filepath.Join(conf6, e.Name(), "forwarding"))
		}
	}
	if err := write(filepath.Join(conf6, "all", "forwarding"), "1"); err != nil {
		return err
	}
	var errs []error
	for other, value := range before {
		errs = append(errs, write(filepath.Join(conf6, other, "forwarding"), value))
	}
	return errors.Join(errs...)
}

func read(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// write stores a value unless it is there already, so that it works where only reading is allowed.
func write(path, value string) error {
	have, err := read(path)
	if err != nil || have == value {
		return err
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set %s to %s: %w", path, value, err)
	}
	return nil
}
