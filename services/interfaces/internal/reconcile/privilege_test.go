// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/sandbox"
)

const envUnprivileged = "ASHLAR_TEST_UNPRIVILEGED"

// TestNetAdminIsEnough configures and releases as an ordinary user with CAP_NET_ADMIN only.
func TestNetAdminIsEnough(t *testing.T) {
	if os.Getenv(envUnprivileged) != "" {
		TestConfigureAndRelease(t)
		return
	}
	const nobody, capNetAdmin = 65534, 12
	dir, err := os.MkdirTemp("", "ifm")
	sandbox.Must(t, err)
	defer os.RemoveAll(dir)
	sandbox.Must(t, os.Chown(dir, nobody, nobody))
	binary := filepath.Join(dir, "test")
	copyFile(t, "/proc/self/exe", binary)
	cmd := exec.Command(binary, "-test.run", "^TestNetAdminIsEnough$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), envUnprivileged+"=1", "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{capNetAdmin},
		Pdeathsig:   syscall.SIGKILL,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// copyFile puts the test where the other user can run it.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	sandbox.Must(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	sandbox.Must(t, err)
	_, err = io.Copy(out, in)
	sandbox.Must(t, err)
	sandbox.Must(t, out.Close())
}
