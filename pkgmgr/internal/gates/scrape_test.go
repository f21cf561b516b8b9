// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	for desc, tt := range map[string]struct{ text, want string }{
		"no text":        {"{", "cannot be read"},
		"negative":       {"a -1\n", "no count"},
		"not a number":   {"a NaN\n", "no count"},
		"a histogram":    {"# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n", "no count"},
		"half of a line": {"a 1", "cannot be read"},
	} {
		if _, err := parse(strings.NewReader(tt.text), []string{"a"}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", desc, err, tt.want)
		}
	}
}

func TestParseKeepsWhatIsNamed(t *testing.T) {
	s, err := parse(strings.NewReader("a{x=\"1\",y=\"2\"} 3\nb 4\n"), []string{"a", "c"})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.series) != 1 || s.series[0].value != 3 || !s.families["a"] || s.families["b"] || s.families["c"] {
		t.Errorf("%+v", s)
	}
	other := series{"a", map[string]string{"y": "2", "x": "1"}, 9}
	if s.series[0].key() != other.key() {
		t.Error("the order of labels tells series apart")
	}
}

func TestTextIsBounded(t *testing.T) {
	endless := strings.NewReader(strings.Repeat("a 1\n", maxText/4+1))
	if _, err := parse(&bounded{r: endless, left: maxText}, []string{"a"}); err == nil || !strings.Contains(err.Error(), fmt.Sprint(maxText)) {
		t.Errorf("%v", err)
	}
}

// FuzzParse: whatever a component writes, it is refused or its counters are counts.
func FuzzParse(f *testing.F) {
	f.Add(`grpc_client_handled_total{grpc_code="OK",grpc_type="unary"} 3` + "\n")
	f.Add("# TYPE a counter\na{b=\"\\n\"} +Inf\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parse(strings.NewReader(text), []string{"a", "grpc_client_handled_total"})
		if err != nil {
			return
		}
		for _, one := range s.series {
			if !(one.value >= 0) {
				t.Errorf("%s is %v", one.family, one.value)
			}
		}
	})
}
