// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// TestScan writes frames as a client does, cuts the bytes anywhere, and compares what was found.
func TestScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		wire.WriteString(http2.ClientPreface)
		f := http2.NewFramer(&wire, nil)
		count, answered := rapid.IntRange(0, 20).Draw(t, "frames"), false
		for range count {
			var err error
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				err = f.WriteSettings()
			case 1:
				err = f.WriteData(1, false, rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data"))
			case 2:
				err = f.WritePing(rapid.Bool().Draw(t, "ack"), [8]byte{1, 2, 3})
			case 3:
				err = f.WritePing(false, farewell)
			case 4:
				err = f.WritePing(true, farewell)
				answered = true
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		s := newScan()
		for rest := wire.Bytes(); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			s.feed(rest[:n])
			rest = rest[n:]
		}
		if s.frames != count || s.answered != answered {
			t.Fatalf("found %d frames and an answer: %t, want %d and %t", s.frames, s.answered, count, answered)
		}
	})
}
