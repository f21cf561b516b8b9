// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package logs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/logs"
)

func TestLastWords(t *testing.T) {
	const info, failed = `{"level":"INFO","msg":"ready"}` + "\n", `{"level":"ERROR","msg":"ended","error":"no such table"}` + "\n"
	for _, test := range []struct {
		desc, before, text, want string
	}{
		{"nothing", "", "", ""},
		{"no error", "", info, ""},
		{"an entry", "", info + failed, "ended: no such table"},
		{"an entry without details", "", `{"level":"ERROR","msg":"gives up"}`, "gives up"},
		{"an error long ago", "", failed + info, ""},
		{"a plain line behind it", "", failed + "ribd: no such table\n", "ribd: no such table"},
		{"a panic", "", info + "panic: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:7\n", "panic: index out of range"},
		{"a fatal error", "", "fatal error: all goroutines are asleep\n\ngoroutine 1 [select]:\n", "fatal error: all goroutines are asleep"},
		{"of the process before", failed, "", ""},
		{"bytes that a terminal would obey", "", "a\x1b[2Jb\xffc\n", "a [2Jb\uFFFDc"},
		{"much", "", strings.Repeat("é", 500) + "\n", strings.Repeat("é", 199) + "…"},
		{"more than is looked at", "", strings.Repeat(info, 4000) + "the end\n", "the end"},
	} {
		t.Run(test.desc, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "rib.log")
			if err := os.WriteFile(file, []byte(test.before+test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := logs.LastWords(file, int64(len(test.before))); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if got := logs.LastWords(filepath.Join(t.TempDir(), "none.log"), 0); got != "" {
		t.Errorf("of no file: %q", got)
	}
}
