// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attached is a program on a link.
type attached struct {
	link    link.Link
	foreign bool // it runs another program than ours
}

type links map[uint32]*attached

func (l links) close() {
	for _, a := range l {
		_ = a.link.Close()
	}
}

func (s *Store) linkPin(index uint32) string {
	return filepath.Join(s.directory, linksPin, strconv.FormatUint(uint64(index), 10))
}

// openLinks finds the pinned links and removes those whose device is gone. Links of another program on the
// same maps are moved at once.
func (s *Store) openLinks() error {
	s.links = links{}
	directory := filepath.Join(s.directory, linksPin)
	if err := os.Mkdir(directory, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a directory for pinned links: %w", err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(directory, e.Name())
		if err := s.openLink(path); err != nil {
			s.log.Warn("removing a pinned link that is of no use", "pin", path, "err", err)
			if err := remove(path); err != nil {
				return err
			}
		}
	}
	if s.filled() || s.Foreign() == 0 {
		return s.Swap()
	}
	return nil
}

func (s *Store) filled() bool {
	unit, _ := s.Memory.Generation()
	return unit != 0
}

func (s *Store) openLink(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return err
	}
	index, program, err := describe(l)
	if err == nil && path != s.linkPin(index) {
		err = fmt.Errorf("it is on interface %d", index)
	}
	if err != nil {
		_ = l.Close()
		return err
	}
	own, err := identity(s.Objects.Program)
	if err != nil {
		_ = l.Close()
		return err
	}
	s.links[index] = &attached{l, program != own}
	return nil
}

// describe returns interface and program of an XDP link; an error when its device is gone.
func describe(l link.Link) (uint32, ebpf.ProgramID, error) {
	info, err := l.Info()
	if err != nil {
		return 0, 0, err
	}
	x := info.XDP()
	if x == nil || x.Ifindex == 0 {
		return 0, 0, errors.New("its device is gone")
	}
	return x.Ifindex, info.Program, nil
}

func identity(p *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := p.Info()
	if err != nil {
		return 0, fmt.Errorf("describe the program: %w", err)
	}
	id, ok := info.ID()
	if !ok {
		return 0, errors.New("the kernel gives programs no identity")
	}
	return id, nil
}

// Foreign is the number of links that still run another program.
func (s *Store) Foreign() int {
	n := 0
	for _, a := range s.links {
		if a.foreign {
			n++
		}
	}
	return n
}

// Swap moves the links of other programs to ours: a packet is forwarded by the old or the new one. It is
// called when the tables behind ours are filled.
func (s *Store) Swap() error {
	for index, a := range s.links {
		if !a.foreign {
			continue
		}
		if err := s.replace(a.link); err != nil {
			return fmt.Errorf("move the program on interface %d: %w", index, err)
		}
		a.foreign = false
		s.log.Info("moved to the new program", "index", index)
	}
	s.forget()
	return nil
}

// replace puts our program on a link in one step. The kernel compares: if the link does not run the program any
// more that it was seen with, nothing changes and that is an error. A program whose pin is gone cannot be compared.
func (s *Store) replace(l link.Link) error {
	_, program, err := describe(l)
	if err != nil {
		return err
	}
	raw, ok := l.(interface {
		UpdateArgs(link.RawLinkUpdateOptions) error
	})
	old := s.before[program]
	if old == nil || !ok {
		return l.Update(s.Objects.Program)
	}
	return raw.UpdateArgs(link.RawLinkUpdateOptions{New: s.Objects.Program, Old: old, Flags: unix.BPF_F_REPLACE})
}

// remember keeps hold of the programs that are pinned now, of every layout.
func (s *Store) remember() {
	trees, _ := filepath.Glob(filepath.Join(s.directory, "*", programPin)) // the pattern is well-formed
	for _, path := range trees {
		p, err := loadProgram(filepath.Dir(path))
		if err != nil {
			continue
		}
		id, err := identity(p)
		if err != nil || s.before[id] != nil {
			_ = p.Close()
			continue
		}
		s.before[id] = p
	}
}

// forget lets go of them, and of the maps of other layouts with them.
func (s *Store) forget() {
	for _, p := range s.before {
		_ = p.Close()
	}
	clear(s.before)
}

// Filled moves all links to our program and removes the tables of other layouts.
func (s *Store) Filled() error {
	if err := s.Swap(); err != nil {
		return err
	}
	return s.SweepOthers()
}

// Attach puts the program on a link and pins that; if it is there already nothing changes.
func (s *Store) Attach(index uint32) (mode string, err error) {
	if a := s.links[index]; a != nil {
		if at, _, err := describe(a.link); err == nil && at == index {
			return attachMode(index)
		}
		if err := s.Detach(index); err != nil {
			return "", err
		}
	}
	l, err := s.attachProgram(index)
	if err != nil {
		return "", err
	}
	if err := l.Pin(s.linkPin(index)); err != nil {
		return "", errors.Join(fmt.Errorf("pin the link of interface %d: %w", index, err), l.Close())
	}
	s.links[index] = &attached{link: l}
	return attachMode(index)
}

// attachProgram prefers the driver's own XDP.
func (s *Store) attachProgram(index uint32) (link.Link, error) {
	o := link.XDPOptions{Program: s.Objects.Program, Interface: int(index), Flags: link.XDPDriverMode}
	l, err := link.AttachXDP(o)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, ebpf.ErrNotSupported) {
		o.Flags = link.XDPGenericMode
		l, err = link.AttachXDP(o)
	}
	switch {
	case errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST):
		return nil, fmt.Errorf("another XDP program is on the link: %w", err)
	case err != nil:
		return nil, fmt.Errorf("attach the program: %w", err)
	}
	return l, nil
}

// attachMode is how the kernel runs the program of a link.
func attachMode(index uint32) (string, error) {
	l, err := netlink.LinkByIndex(int(index))
	if err != nil {
		return "", fmt.Errorf("interface %d: %w", index, err)
	}
	if x := l.Attrs().Xdp; x != nil && x.AttachMode == 2 {
		return "generic", nil
	}
	return "native", nil
}

// Detach takes the program off a link and removes the pin; nothing happens where it is not.
func (s *Store) Detach(index uint32) error {
	a := s.links[index]
	if a == nil {
		return nil
	}
	delete(s.links, index)
	return errors.Join(remove(s.linkPin(index)), a.link.Close())
}

// Attached lists the interfaces that run a program of ours.
func (s *Store) Attached() []uint32 {
	var l []uint32
	for i := range s.links {
		l = append(l, i)
	}
	return l
}
