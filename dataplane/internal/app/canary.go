// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/ashlar-nos/ashlar/dataplane/internal/engine"
)

// canary sends a test packet through the program that links run and sees it counted in the memory that the
// daemon writes: the two belong together.
type canary struct {
	program *ebpf.Program
	engine  *engine.Engine
}

const passed = 2 // XDP_PASS

func (c *canary) run() error {
	before := c.engine.CanarySeen()
	verdict, err := c.program.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	if err != nil {
		return fmt.Errorf("test packet: %w", err)
	}
	if verdict != passed || c.engine.CanarySeen() == before {
		return errors.New("a test packet did not reach the tables")
	}
	return nil
}
