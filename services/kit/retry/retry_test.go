// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package retry_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/services/kit/retry"
)

func TestForeverEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var logs bytes.Buffer
	tries := 0
	err := retry.Forever(ctx, slog.New(slog.NewTextHandler(&logs, nil)), "knock", func(context.Context) error {
		if tries++; tries == 3 {
			cancel()
		}
		return errors.New("nobody home")
	})
	if !errors.Is(err, context.Canceled) || tries != 3 {
		t.Errorf("ended with %v after %d tries", err, tries)
	}
	if got := strings.Count(logs.String(), "nobody home"); got != 1 {
		t.Errorf("the same reason was logged %d times, want once", got)
	}
}
