// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package losses lets the kernel count frames that the router sent and no driver took (dataplane/bpf/losses.c):
// the router has counted them as forwarded by then.
//
// What counts is pinned beside the maps that it counts in, so it outlives the daemon as they do:
//
//	<tree>/losses-<hash of the object>/refused, unsent
package losses

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/ashlar-nos/ashlar/dataplane/internal/tables"
)

const prefix = "losses-"

// namespace is the file that stands for the network namespace of the calling thread.
const namespace = "/proc/thread-self/ns/net"

// Watch counts the losses of ports in the caller's network namespace from now on. What an earlier process
// pinned in the tree is adopted when it is the same; an older one is replaced, and for a moment nothing counts. It
// needs CAP_BPF and CAP_PERFMON, a kernel with types (BTF), and its tracepoints; forwarding does not need it.
func Watch(tree string, o *tables.Objects, m *tables.Memory) error {
	if err := declare(m); err != nil {
		return err
	}
	hash := sha256.Sum256(_LossesBytes)
	own := filepath.Join(tree, prefix+hex.EncodeToString(hash[:8]))
	found, err := filepath.Glob(filepath.Join(tree, prefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range found {
		if path == own && whole(own) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove what counted losses before: %w", err)
		}
	}
	if whole(own) {
		return nil
	}
	return attach(own, o)
}

// declare says whose ports are ours.
func declare(m *tables.Memory) error {
	info, err := os.Stat(namespace)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("network namespace: it has no inode")
	}
	atomic.StoreUint32(&m.Tables.Control.Namespace, uint32(s.Ino))
	return nil
}

// whole says whether both links are pinned and attached.
func whole(directory string) bool {
	for _, name := range []string{lossesProgRefused, lossesProgUnsent} {
		l, err := link.LoadPinnedLink(filepath.Join(directory, name), nil)
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

func attach(directory string, o *tables.Objects) error {
	spec, err := loadLosses()
	if err != nil {
		return err
	}
	spec.Maps[lossesMapCounters].MaxEntries = o.Counters.MaxEntries()
	var programs lossesPrograms
	err = spec.LoadAndAssign(&programs, &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		lossesMapForwarding: o.Forwarding, lossesMapCounters: o.Counters,
	}})
	if err != nil {
		return fmt.Errorf("load what counts losses: %w", err)
	}
	defer programs.Close()
	if err := os.Mkdir(directory, 0o700); err != nil {
		return fmt.Errorf("make a directory for pins: %w", err)
	}
	for name, p := range map[string]*ebpf.Program{lossesProgRefused: programs.Refused, lossesProgUnsent: programs.Unsent} {
		if err := pin(p, filepath.Join(directory, name)); err != nil {
			// Half of it would make a whole one look wrong.
			return errors.Join(err, os.RemoveAll(directory))
		}
	}
	return nil
}

func pin(p *ebpf.Program, path string) error {
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		return fmt.Errorf("attach to the kernel's tracepoint: %w", err)
	}
	if err := l.Pin(path); err != nil {
		return errors.Join(fmt.Errorf("pin a link: %w", err), l.Close())
	}
	return l.Close()
}
