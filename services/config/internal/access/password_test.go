// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"strings"
	"testing"
)

func TestHashRoundTrip(t *testing.T) {
	phc, err := HashPassword("stone")
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHash(phc)
	if err != nil {
		t.Fatal(err)
	}
	if !h.matches("stone") || h.matches("Stone") || h.matches("") {
		t.Error("the hash does not tell passwords apart")
	}
}

func TestHashRefusals(t *testing.T) {
	good, err := HashPassword("stone")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ desc, phc string }{
		{"empty", ""},
		{"plain text", "stone"},
		{"another algorithm", strings.Replace(good, "argon2id", "argon2i", 1)},
		{"another version", strings.Replace(good, "v=19", "v=16", 1)},
		{"too much memory", strings.Replace(good, "m=19456", "m=4194304", 1)},
		{"too much time", strings.Replace(good, "t=2", "t=4000000", 1)},
		{"no threads", strings.Replace(good, "p=1", "p=0", 1)},
		{"salt that is no base64", "$argon2id$v=19$m=19456,t=2,p=1$!!!!$AAAAAAAAAAAAAAAAAAAAAA"},
		{"short key", "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA"},
	} {
		if _, err := parseHash(tt.phc); err == nil {
			t.Errorf("%s: %q was taken", tt.desc, tt.phc)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, phc string) {
		if h, err := parseHash(phc); err == nil && (h.memory > maxMemory || h.time > maxTime || h.threads > maxThreads) {
			t.Errorf("%q costs more than the limits", phc)
		}
	})
}
