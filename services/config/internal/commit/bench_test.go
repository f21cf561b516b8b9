// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"
	"testing"

	"github.com/ashlar-nos/ashlar/services/config/internal/statetest"
)

// BenchmarkCandidate is the part of a Set of ten leaves that waits for nobody, at a thousand interfaces.
func BenchmarkCandidate(b *testing.B) {
	h := new(lives).open(b, statetest.New(), Steps{})
	ports, machine := newStone(b, ifaces), newStone(b, system)
	h.attach(ports)
	h.attach(machine)
	h.ready()
	var values []string
	for i := range 1000 {
		values = append(values, fmt.Sprintf("/interfaces/interface[name=ge%d]/config/mtu", i), "1400")
	}
	if _, err := h.set(values...); err != nil {
		b.Fatal(err)
	}
	ten := []string{host, `"quarry"`}
	for i := range 9 {
		ten = append(ten, fmt.Sprintf("/interfaces/interface[name=ge%d]/config/mtu", i), "1500")
	}
	r := request(ten...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.engine.candidate("mason", r); err != nil {
			b.Fatal(err)
		}
	}
}
