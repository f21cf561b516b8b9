// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// childDir names the environment variable that makes the test binary a writer on that directory.
const childDir = "STATE_TEST_WRITE_TO"

// writeUntilKilled writes row after row and prints each number once its transaction was acknowledged.
func writeUntilKilled(dir string, out io.Writer) int {
	s, err := open(dir, nil)
	if err == nil {
		err = declareBoth(s)
	}
	for n := int64(1); err == nil; n++ {
		var o Outcome
		key := fmt.Sprintf("%d-%d", os.Getpid(), n)
		o, err = s.Transact(context.Background(), writerA, Transaction{Token: 1, Client: "child", Sequence: uint64(s.Engine.History().Rev()),
			Operations: []Operation{putOp(tableA, key, n), putOp(tableB, key, -n)}})
		fmt.Fprintln(out, key, n, o.Revision)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestKillLosesNothingAcknowledged ends a writing process with SIGKILL, several times on one directory.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]int64{}
	for round := range 5 {
		killWriter(t, dir, 100+70*round, acknowledged)
	}
	s := start(t, dir, nil)
	a, b := contents(t, s, tableA, 0), contents(t, s, tableB, 0)
	for key, n := range acknowledged {
		if a[key] != n || b[key] != -n {
			t.Errorf("row %s: %d and %d, was acknowledged with %d and %d", key, a[key], b[key], n, -n)
		}
	}
	if len(a) != len(b) {
		t.Errorf("a transaction was torn: %d rows in one table, %d in the other", len(a), len(b))
	}
	if len(acknowledged) < 1000 {
		t.Errorf("only %d transactions were acknowledged", len(acknowledged))
	}
}

func killWriter(t *testing.T, dir string, after int, acknowledged map[string]int64) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		f := strings.Fields(lines.Text())
		if len(f) != 3 {
			// The kill cut the last line: it may stand for a transaction, but nobody was told.
			break
		}
		if acknowledged[f[0]], err = strconv.ParseInt(f[1], 10, 64); err != nil {
			t.Fatal(err)
		}
		if i == after {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait()
}
