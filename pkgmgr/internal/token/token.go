// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package token issues fencing tokens: numbers that only grow over the life of a device. A token is on
// disk before anyone sees it, so that neither a crash nor a power cut can issue it a second time.
package token

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/durable"
)

// Counter is the source of a device's tokens. It is safe for concurrent use; one process may open it.
type Counter struct {
	file string
	mu   sync.Mutex
	last uint64
}

// Open reads the counter. floor is a token known to be issued, for example from a record of running
// processes; the next one is above both. A damaged file is an error: a guess could repeat a token.
func Open(file string, floor uint64) (*Counter, error) {
	c := &Counter{file: file, last: floor}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fencing token: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("fencing token: %s holds %q: want a number at least as high as the highest token in use", file, b)
	}
	c.last = max(c.last, n)
	return c, nil
}

// Next issues a token. On an error none was issued.
func (c *Counter) Next() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.last + 1
	if err := durable.WriteFile(c.file, []byte(strconv.FormatUint(n, 10)+"\n"), 0o600); err != nil {
		return 0, fmt.Errorf("fencing token: %w", err)
	}
	c.last = n
	return n, nil
}
