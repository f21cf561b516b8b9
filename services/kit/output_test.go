// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ashlar-nos/ashlar/services/kit"
)

func outputOf(lines ...string) *kit.Output {
	o := kit.NewOutput("things")
	for _, l := range lines {
		o.Add(l)
	}
	return o
}

func TestOutputsCompareWhateverTheOrder(t *testing.T) {
	one := outputOf("a", "b", "b", "c")
	for _, tt := range []struct {
		desc  string
		lines []string
		equal bool
	}{
		{"another order", []string{"b", "c", "a", "b"}, true},
		{"an item only once", []string{"a", "b", "c"}, false},
		{"an item more", []string{"a", "b", "b", "c", "d"}, false},
		{"another item twice", []string{"a", "a", "b", "c"}, false},
		{"items joined", []string{"a", "bb", "c"}, false},
	} {
		if got := outputOf(tt.lines...).Digest() == one.Digest(); got != tt.equal {
			t.Errorf("%s: equal is %t, want %t", tt.desc, got, tt.equal)
		}
	}
	if !slices.Equal(outputOf("c", "a").Sample(), []string{"a", "c"}) {
		t.Error("the sample is not sorted")
	}
}

func TestLargeOutputsShowNoSample(t *testing.T) {
	o := kit.NewOutput("routes")
	for i := range 1001 {
		o.Add(fmt.Sprint(i))
		if shown := len(o.Sample()); i < 1000 && shown != i+1 || i == 1000 && shown != 0 {
			t.Fatalf("%d items show %d", i+1, shown)
		}
	}
	if o.Items() != 1001 {
		t.Errorf("counted %d", o.Items())
	}
}

func BenchmarkOutputAdd(b *testing.B) {
	o := kit.NewOutput("routes")
	b.ReportAllocs()
	for b.Loop() {
		o.Add("203.0.113.0/24 via 192.0.2.1 dev ge-0/0/1 weight 1")
	}
}
