// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usage is the memory of one process, in bytes.
type usage struct {
	name string
	// pss counts each page by the share of the process, forwarding tables left out; private is what the process
	// has alone.
	pss, private uint64
	// mapped is the share of forwarding tables in the process's address space, tables what the tables it holds open
	// take in the kernel.
	mapped, tables uint64
	threads        int
}

// tableMapping is the name of a mapped BPF map in smaps.
const tableMapping = "anon_inode:bpf-map"

func measure(name string, pid int) (usage, error) {
	u := usage{name: name}
	proc := fmt.Sprintf("/proc/%d", pid)
	smaps, err := os.ReadFile(proc + "/smaps")
	if err != nil {
		return u, fmt.Errorf("%s: %w", name, err)
	}
	u.addMappings(smaps)
	if err := u.checkRollup(proc); err != nil {
		return u, fmt.Errorf("%s: %w", name, err)
	}
	tasks, err := os.ReadDir(proc + "/task")
	if err != nil {
		return u, fmt.Errorf("%s: %w", name, err)
	}
	u.threads = len(tasks)
	u.tables, err = tableMemory(proc)
	return u, err
}

// addMappings adds up smaps: for each mapping a line that begins with its range and ends with its name,
// then lines "Key: n kB".
func (u *usage) addMappings(smaps []byte) {
	table := false
	for line := range bytes.Lines(smaps) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		key, isValue := strings.CutSuffix(fields[0], ":")
		if !isValue {
			table = strings.Contains(string(line), tableMapping)
			continue
		}
		if len(fields) < 2 {
			continue
		}
		kilobytes, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch {
		case key == "Pss" && table:
			u.mapped += kilobytes << 10
		case key == "Pss":
			u.pss += kilobytes << 10
		case (key == "Private_Clean" || key == "Private_Dirty") && !table:
			u.private += kilobytes << 10
		}
	}
}

// checkRollup holds the sum against the kernel's own: they may differ by what moved in between.
func (u *usage) checkRollup(proc string) error {
	text, err := os.ReadFile(proc + "/smaps_rollup")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 || fields[0] != "Pss:" {
			continue
		}
		kilobytes, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return err
		}
		whole, sum := float64(kilobytes<<10), float64(u.pss+u.mapped)
		if sum < 0.8*whole || sum > 1.2*whole {
			return fmt.Errorf("smaps sums to %.0f bytes, smaps_rollup says %.0f", sum, whole)
		}
		return nil
	}
	return fmt.Errorf("%s/smaps_rollup has no Pss", proc)
}

// tableMemory adds up the BPF maps that a process holds open, each once.
func tableMemory(proc string) (uint64, error) {
	files, err := filepath.Glob(proc + "/fdinfo/*")
	if err != nil {
		return 0, err
	}
	maps := map[string]uint64{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		id, size := "", uint64(0)
		for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
			switch fields := strings.Fields(s.Text()); {
			case len(fields) != 2:
			case fields[0] == "map_id:":
				id = fields[1]
			case fields[0] == "memlock:":
				size, _ = strconv.ParseUint(fields[1], 10, 64)
			}
		}
		if id != "" {
			maps[id] = size
		}
	}
	sum := uint64(0)
	for _, size := range maps {
		sum += size
	}
	return sum, nil
}
