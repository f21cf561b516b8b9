// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/ashlar-nos/ashlar/lab/demo"
	"github.com/ashlar-nos/ashlar/lab/instance"
)

// everywhere is one address in each network around the device, and the device's own.
var everywhere = []string{
	"192.0.2.1", "2001:db8:a::1",
	"198.51.100.10", "2001:db8:b1::10", "203.0.113.10", "2001:db8:b2::10",
	"10.99.1.1", "2001:db8:99::1", "10.98.1.1", "2001:db8:98::1",
}

func TestConfiguredDeviceForwards(t *testing.T) {
	configured(t).answers(t, everywhere...)
}

// The demo fails if a packet or a call is lost, so that it is a test as well.
func TestDemo(t *testing.T) {
	packages(t)
	out := &log{t: t}
	err := demo.Run(t.Context(), demo.Options{Build: build, Out: out, Rate: demo.Rate})
	if err != nil {
		t.Error(err)
	}
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	packages(t)
	ctx, cancel := context.WithCancel(t.Context())
	// The third line is written when the device stands and is being configured.
	err := demo.Run(ctx, demo.Options{Build: build, Out: &trigger{after: 20, fire: cancel}, Rate: demo.Rate})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted demo = %v", err)
	}
	if err := instance.Down(t.Context(), build, "demo"); !errors.Is(err, instance.ErrDown) {
		t.Errorf("after an interrupted demo: %v, want that nothing is up", err)
	}
}

// log writes to the test's log.
type log struct{ t *testing.T }

func (l *log) Write(text []byte) (int, error) {
	l.t.Logf("%s", text)
	return len(text), nil
}

// trigger fires after a number of writes.
type trigger struct {
	after int
	fire  func()
}

func (w *trigger) Write(text []byte) (int, error) {
	if w.after--; w.after == 0 {
		w.fire()
	}
	return io.Discard.Write(text)
}
