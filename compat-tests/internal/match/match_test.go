// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package match_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/match"
)

func value(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		want, good, bad string
	}{
		{`5`, `5`, `6`},
		{`"5000000000"`, `5000000000`, `5000000001`},
		{`5000000000`, `"5000000000"`, `null`},
		{`true`, `true`, `false`},
		{`"text"`, `"text"`, `"other"`},
		{`"<any>"`, `0`, `null`},
		{`"<absent>"`, `null`, `0`},
		{`"<nonempty>"`, `"x"`, `""`},
		{`"<empty>"`, `[]`, `[1]`},
		{`"<bytes 2>"`, `"AAA="`, `"AA=="`},
		{`"<number>"`, `"12"`, `"twelve"`},
		{`"<above 3>"`, `"4"`, `"3"`},
		{`"<items 2>"`, `[1, 1]`, `[1]`},
		{`"<one of A|B>"`, `"B"`, `"C"`},
		{`"~mid"`, `"in the middle"`, `"outside"`},
		{`{"a": 1}`, `{"a": 1, "b": 2}`, `{"b": 2}`},
		{`{"a": {"b": "<any>"}}`, `{"a": {"b": false}}`, `{"a": {}}`},
		{`[1, 3]`, `[1, 2, 3]`, `[3, 1]`},
		{`[{"n": "x"}]`, `[{"n": "w"}, {"n": "x"}]`, `[{"n": "w"}]`},
		{`["$a", "$a"]`, `[7, 7]`, `[7, 8]`},
		{`{"a": []}`, `{"a": []}`, `{"a": 3}`},
	} {
		if err := (match.Captured{}).Check(value(t, test.want), value(t, test.good)); err != nil {
			t.Errorf("%s does not match %s: %v", test.good, test.want, err)
		}
		if err := (match.Captured{}).Check(value(t, test.want), value(t, test.bad)); err == nil {
			t.Errorf("%s matches %s", test.bad, test.want)
		}
	}
}

func TestUnknownMatcher(t *testing.T) {
	err := (match.Captured{}).Check("<sometimes>", "x")
	if err == nil || !strings.Contains(err.Error(), "no matcher") {
		t.Errorf("got %v", err)
	}
}

func TestCapturesOfADifferenceAreForgotten(t *testing.T) {
	c := match.Captured{}
	if err := c.Check(map[string]any{"a": "$x", "b": "1"}, map[string]any{"a": "7", "b": "2"}); err == nil {
		t.Fatal("it matches")
	}
	if len(c) != 0 {
		t.Errorf("captured %v", c)
	}
}

// draw makes any value that JSON has, of texts that are no matchers.
func draw(t *rapid.T, depth int) any {
	kinds := 3
	if depth > 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return float64(rapid.IntRange(-1000000, 1000000).Draw(t, "number"))
	case 1:
		return rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "text")
	case 2:
		return rapid.Bool().Draw(t, "bool")
	case 3:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			list = append(list, draw(t, depth-1))
		}
		return list
	}
	object := map[string]any{}
	for i := range rapid.IntRange(0, 3).Draw(t, "members") {
		object[fmt.Sprint("m", i)] = draw(t, depth-1)
	}
	return object
}

// A value matches itself, and goes on to with a member more.
func TestEverythingMatchesItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := draw(t, 3)
		if err := (match.Captured{}).Check(v, v); err != nil {
			t.Fatal(err)
		}
		if err := (match.Captured{}).Check(map[string]any{"a": v}, map[string]any{"a": v, "b": draw(t, 1)}); err != nil {
			t.Fatal(err)
		}
		if err := (match.Captured{}).Check([]any{v}, []any{draw(t, 1), v}); err != nil {
			t.Fatal(err)
		}
	})
}
