// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fail

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestExplainNobodyThere(t *testing.T) {
	const refused, missing = "dial unix: connect: connection refused", "dial unix: connect: no such file or directory"
	for _, test := range []struct {
		desc, component, cause string
		answering              []string
		text, hint             string
	}{
		{"nobody answers", "rib", refused, nil, "the device is not running: nobody listens on its socket /run/x.sock", "systemctl start ashlard"},
		{"no socket at all", "rib", missing, nil, "the device is not running: there is no /run/x.sock", "--root or --socket"},
		{"the component alone is silent", "rib", refused, []string{"config", "supervisor"}, "rib does not answer: nobody listens on its socket /run/x.sock", "ashlar logs rib"},
		{"there is no such component", "rib", missing, []string{"supervisor"}, "rib does not answer: there is no /run/x.sock", "ashlar status"},
		{"the supervisor is silent", "supervisor", refused, []string{"config", "rib"}, "the supervisor does not answer", "goes on without it: config, rib answer"},
		{"both are silent", "rib", refused, []string{"config", "dataplane"}, "rib does not answer", "the supervisor, which would start it again, does not answer either, but config, dataplane do"},
	} {
		t.Run(test.desc, func(t *testing.T) {
			at := Place{Address: "/run/x.sock", Local: true, Component: test.component, Answering: func() []string { return test.answering }}
			var e *Error
			if !errors.As(Explain(status.Error(codes.Unavailable, test.cause), at), &e) {
				t.Fatal("no error")
			}
			if e.Code != Unreachable || !strings.Contains(e.Text, test.text) || !strings.Contains(e.Hint, test.hint) {
				t.Errorf("%d %q, hint %q", e.Code, e.Text, e.Hint)
			}
		})
	}
}
