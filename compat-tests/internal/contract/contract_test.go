// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/contract"
)

const good = `consumer: a
contract: ashlar.interfaces.v1
level: 1
descriptor: "0000000000000000000000000000000000000000000000000000000000000000"
interactions:
  - name: one
    method: Interfaces/Watch
    steps: [{send: {}}, {receive: {synced: {}}}]
`

func TestParse(t *testing.T) {
	if _, err := contract.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		desc, from, to, says string
	}{
		{"an unknown key", "level: 1", "levle: 1", "levle"},
		{"no level", "level: 1\n", "", "level 0"},
		{"a digest that is none", `"0000`, `"00`, "64 hex digits"},
		{"no interaction", "interactions:", "interactions: []\nx:", "unknown field"},
		{"no name", "name: one", `name: ""`, "a name of its own"},
		{"a method that is not there", "Interfaces/Watch", "Interfaces/Look", "has no method Look"},
		{"a service that is not there", "Interfaces/Watch", "Ports/Watch", "no service"},
		{"a field that cannot be sent", "send: {}", "send: {nothing: 1}", "nothing"},
		{"a field that never comes", "{synced: {}}", "{nothing: {}}", `no field "nothing"`},
		{"a field that never comes, deeper", "{synced: {}}", "{interface: {addresses: [{nothing: 1}]}}", `no field "nothing"`},
		{"two acts in a step", "{send: {}}", "{send: {}, close: true}", "exactly one"},
		{"a code that is none", "{send: {}}", "{send: {}}, {end: {code: BAD_LUCK}}", "NOT_FOUND"},
		{"a stream without steps", "    steps: [{send: {}}, {receive: {synced: {}}}]\n", "    request: {}\n", "a stream has steps"},
	} {
		t.Run(test.desc, func(t *testing.T) {
			text := strings.Replace(good, test.from, test.to, 1)
			if text == good {
				t.Fatal("nothing was replaced")
			}
			_, err := contract.Parse([]byte(text))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q in it", err, test.says)
			}
		})
	}
}

// What is read is whole, and what is wrong is said; nothing makes the reader panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	files, err := filepath.Glob("../../contracts/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no contract files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := contract.Parse(text)
		if err != nil {
			return
		}
		if len(c.Hash) != 64 || len(c.Methods()) == 0 {
			t.Errorf("hash %q, %d methods", c.Hash, len(c.Methods()))
		}
	})
}
