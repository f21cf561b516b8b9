// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	for _, test := range []struct{ desc, destination, source, reason string }{
		{"an address", "192.0.2.1", "", ""},
		{"link-local with its interface", "fe80::1%lo", "", ""},
		{"link-local, the interface with the source", "fe80::1", "fe80::2%lo", ""},
		{"link-local without an interface", "fe80::1", "", "say which interface, for example fe80::1%ge0"},
		{"link-local without an interface, from anywhere", "fe80::1", "2001:db8::1", "say which interface"},
		{"no such interface", "fe80::1%nowhere", "", "no interface nowhere"},
		{"IPv4 link-local", "169.254.0.1", "", ""},
		{"multicast", "ff02::1%lo", "", "single host"},
		{"another family", "192.0.2.1", "::1", "no address of the family"},
	} {
		t.Run(test.desc, func(t *testing.T) {
			_, err := Find(context.Background(), test.destination, test.source)
			var wrong *Error
			switch {
			case test.reason == "" && err != nil:
				t.Error(err)
			case test.reason != "" && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), test.reason)):
				t.Errorf("got %v, want %q", err, test.reason)
			}
		})
	}
}
