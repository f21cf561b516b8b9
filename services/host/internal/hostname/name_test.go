// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package hostname

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	label := strings.Repeat("a", 63)
	for name, want := range map[string]string{
		"r1":                    "",
		"R-1.example.net":       "",
		"3com":                  "",
		"1":                     "",
		label:                   "",
		"a":                     "",
		"":                      "1 to 64 bytes",
		label + ".a":            "1 to 64 bytes",
		strings.Repeat("a", 64): "at most 63",
		"r1.":                   "empty label",
		".r1":                   "empty label",
		"r..1":                  "empty label",
		"-r1":                   "hyphen",
		"r1-":                   "hyphen",
		"r1.-a":                 "hyphen",
		"r_1":                   "letters, digits",
		"r 1":                   "letters, digits",
		"ro\x00uter":            "letters, digits",
		"rüter":                 "letters, digits",
		"[r]":                   "letters, digits",
		"@":                     "letters, digits",
		"192.0.2.1":             "has a letter",
	} {
		err := Check(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("r1.example.net")
	f.Fuzz(func(t *testing.T, name string) {
		if Check(name) == nil && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
			t.Errorf("accepted %q", name)
		}
	})
}
