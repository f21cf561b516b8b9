// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gpath_test

import (
	"strings"
	"testing"

	"github.com/openconfig/ygot/ygot"
	"google.golang.org/protobuf/proto"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

func TestRoundTrip(t *testing.T) {
	for _, text := range []string{
		"/",
		"/system/config/hostname",
		"/interfaces/interface[name=ge0]/config",
		"/a/b[k=v][l=w]/c",
		"/a/b[prefix=2001:db8::/32]/c",
		`/a/b[k=x\]y\\z]/c`,
		"/a/b[k=]/c",
		"/interfaces/.../oper-status",
	} {
		p, err := gpath.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := gpath.String(p); got != text {
			t.Errorf("%s came back as %s", text, got)
		}
	}
}

func TestMalformed(t *testing.T) {
	for text, want := range map[string]string{
		"//a":          "no name",
		"/a//b":        "no name",
		"/a[k=v":       "not closed",
		"/a[k]":        "want [key=value]",
		"/a[=v]":       "want [key=value]",
		"/a[k=v]b":     "followed by",
		"/a]":          "followed by",
		"/a[k=1][k=2]": "twice",
	} {
		if _, err := gpath.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		exact, prefix bool
	}{
		{"/interfaces/interface[name=*]", "/interfaces/interface[name=ge0]", true, true},
		{"/interfaces/interface", "/interfaces/interface[name=ge0]", true, true},
		{"/interfaces/interface[name=*]", "/interfaces/interface[name=ge0]/config/mtu", false, true},
		{"/interfaces/interface[name=ge1]", "/interfaces/interface[name=ge0]", false, false},
		{"/interfaces/*/config", "/interfaces/interface[name=ge0]/config", true, true},
		{"/", "/system", false, true},
		{"/system/config", "/system", false, false},
	} {
		pattern, path := gpath.MustParse(tt.pattern), gpath.MustParse(tt.path)
		if got := gpath.Match(pattern, path); got != tt.exact {
			t.Errorf("Match(%s, %s) = %t", tt.pattern, tt.path, got)
		}
		if got := gpath.MatchPrefix(pattern, path); got != tt.prefix {
			t.Errorf("MatchPrefix(%s, %s) = %t", tt.pattern, tt.path, got)
		}
	}
}

func TestJoinKeepsItsParts(t *testing.T) {
	a := gpath.MustParse("/a/b")
	a.Elem = append(make([]*gnmi.PathElem, 0, 8), a.Elem...)
	c, d := gpath.Join(a, gpath.MustParse("/c")), gpath.Join(a, gpath.MustParse("/d"))
	if gpath.String(c) != "/a/b/c" || gpath.String(d) != "/a/b/d" {
		t.Errorf("got %s and %s", gpath.String(c), gpath.String(d))
	}
}

// FuzzParse checks that what parses is written and read back as the same path, and that another
// implementation reads the written form alike.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/a/b[k=v]/c", `/a[k=\]]`, "/interfaces/interface[name=ge0]", "a", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := gpath.Parse(text)
		if err != nil {
			return
		}
		again, err := gpath.Parse(gpath.String(p))
		if err != nil || !proto.Equal(p, again) {
			t.Fatalf("%q: written as %q, read back as %v, %v", text, gpath.String(p), again, err)
		}
		if strings.ContainsAny(text, "\\*[]=") {
			return // the other implementation trims and refuses differently inside keys
		}
		theirs, err := ygot.StringToStructuredPath(gpath.String(p))
		if err == nil && len(theirs.Elem) != len(p.Elem) {
			t.Fatalf("%q: %d elements here, %d there", text, len(p.Elem), len(theirs.Elem))
		}
	})
}
