// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package hostname keeps the machine's name as configured and gives it back when the configuration goes.
package hostname

import (
	"fmt"
	"strings"
)

const (
	// maxLabel is the longest label of a name in bytes (RFC 1123 §2.1, RFC 1035 §2.3.4).
	maxLabel = 63
	// maxName is the longest name that the kernel keeps (__NEW_UTS_LEN).
	maxName = 64
)

// Check says why a text is no host name (RFC 1123 §2.1); nil when it is one.
func Check(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a host name has 1 to %d bytes, this one has %d", maxName, len(name))
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	// Else a name could be taken for an address.
	if last := labels[len(labels)-1]; len(labels) > 1 && strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("the last label %q of a host name has a letter in it", last)
	}
	return nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("a host name has no empty label: dots stand between labels only")
	case len(label) > maxLabel:
		return fmt.Errorf("a label of a host name has at most %d bytes, %q has %d", maxLabel, label, len(label))
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("a label of a host name neither begins nor ends with a hyphen: %q", label)
	}
	for _, c := range []byte(label) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("a host name has letters, digits, hyphens and dots only, not %q", string(rune(c)))
		}
	}
	return nil
}
