// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package ping_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/ashlar-nos/ashlar/lab/ping"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces: run them as root")
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func TestAnswer(t *testing.T) {
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Output(exec.Command("ip", "link", "set", "lo", "up")); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		trip, err := ping.Until(t.Context(), n, netip.MustParseAddr(address))
		if err != nil || trip <= 0 {
			t.Errorf("%s: %v, %v", address, trip, err)
		}
	}
}

func TestSilence(t *testing.T) {
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = ping.Until(ctx, n, netip.MustParseAddr("192.0.2.1"))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("Until = %v, want the end of its context and why", err)
	}
}
