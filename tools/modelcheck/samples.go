// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// samples are texts near the borders of the types in use, and many mutations of them, always the same ones.
func samples() []string {
	seeds := []string{
		"", ".", "a", "_", "-", "a-", "-a", "_a", "a_", "host", "host.example", "host.example.", "a..b", strings.Repeat("x", 63), strings.Repeat("x", 64), strings.Repeat("x.", 126) + "x", strings.Repeat("x.", 127) + "x",
		"0.0.0.0", "255.255.255.255", "256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "192.0.2.1%eth0", "10.0.0.0/8", "10.0.0.0/0", "10.0.0.0/32", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/",
		"::", ":", ":::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "1:2:3:4::5:6:7:8", "1:2:3:4::6:7:8", "2001:db8::1", "2001:DB8::1", "fe80::1%eth0", "::ffff:192.0.2.1", "12345::", "g::", "2001:db8::/32", "::/0", "::/128", "::/129", "1:2:3:4:5:6:7:8/64", ":1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:",
		"02:00:00:00:00:01", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "AA:bb:CC:dd:EE:ff", "00", "00:", "0", "gg",
		"2026-03-01T12:00:00Z", "2026-03-01T12:00:00.25+02:00", "2026-03-01t23:59:60z", "2026-13-01T12:00:00Z", "2026-00-01T12:00:00Z", "2026-03-32T12:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01 12:00:00Z", "2026-03-01T12:00:00", "2026-03-01T12:00:00+24:00", "2026-03-01T12:60:00Z",
	}
	source := rand.New(rand.NewPCG(1, 2))
	const alphabet = "0129afg:./-_Z%+T "
	out := slices.Clone(seeds)
	for range 20000 {
		s := []byte(seeds[source.IntN(len(seeds))])
		for range 1 + source.IntN(3) {
			at := source.IntN(len(s) + 1)
			switch ch := alphabet[source.IntN(len(alphabet))]; {
			case source.IntN(3) == 0 && at < len(s):
				s = slices.Delete(s, at, at+1)
			case source.IntN(2) == 0 && at < len(s):
				s[at] = ch
			default:
				s = slices.Insert(s, at, ch)
			}
		}
		out = append(out, string(s))
	}
	return out
}
