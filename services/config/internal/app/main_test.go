// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ashlar-nos/ashlar/services/config/internal/commit"
	"github.com/ashlar-nos/ashlar/services/kit"
)

// envDie makes this test binary a configd: "<point>:<n>" lets it kill itself at a point of its n-th
// transaction, "never" lets it live.
const envDie = "ASHLAR_TEST_CONFIGD_DIE"

// stated is the binary of the real state store, built once.
var stated string

func TestMain(m *testing.M) {
	if die := os.Getenv(envDie); die != "" {
		configd(die)
	}
	os.Exit(run(m))
}

// configd runs this process as the component; it does not return.
func configd(die string) {
	manifest, err := os.ReadFile(filepath.Join(os.Getenv(kit.EnvTree), "component.yaml"))
	if err != nil {
		panic(err)
	}
	point, count, _ := strings.Cut(die, ":")
	n := 0
	var steps commit.Steps
	points := map[string]*func(){"prepared": &steps.Prepared, "decided": &steps.Decided, "applied": &steps.Applied}
	if step, ok := points[point]; ok {
		*step = func() {
			if n++; fmt.Sprint(n) == count {
				// The process ends within the call: SIGKILL cannot wait.
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}
	kit.Main(manifest, Construct(steps))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "configd")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	stated = filepath.Join(dir, "stated")
	build := exec.Command("go", "build", "-o", stated, "../../../state")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the state store:", err)
		return 1
	}
	return m.Run()
}
