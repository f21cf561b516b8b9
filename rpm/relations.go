// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/google/rpmpack"
)

// relation is what a package provides or needs. The header and the manifest are compared by its text.
type relation struct {
	name, version string
	sense         uint32 // rpmsenseFlags, LESS, GREATER and EQUAL only
}

const (
	senseLess     = 1 << 1
	senseGreater  = 1 << 2
	senseEqual    = 1 << 3
	senseCompare  = senseLess | senseGreater | senseEqual
	senseRPMLib   = 1 << 24 // a feature of the rpm command
	contractLabel = "ashlar-contract"
)

func (r relation) String() string {
	if r.sense&senseCompare == 0 {
		return r.name
	}
	op := ""
	for bit, sign := range map[uint32]string{senseLess: "<", senseGreater: ">"} {
		if r.sense&bit != 0 {
			op += sign
		}
	}
	if r.sense&senseEqual != 0 {
		op += "="
	}
	return r.name + " " + op + " " + r.version
}

func contract(name string) string { return contractLabel + "(" + name + ")" }

// provides is what the header of a component's package must say: itself and its contracts.
func provides(m *manifest.Manifest) []relation {
	out := []relation{{packageName(m), rpmVersion(m.Version) + "-" + release, senseEqual}}
	for _, p := range m.Provides {
		out = append(out, relation{contract(p.Contract), fmt.Sprint(p.Level), senseEqual})
	}
	return out
}

// requires is what the component needs of others: with optional, what it can do without.
func requires(m *manifest.Manifest, optional bool) []relation {
	var out []relation
	for _, r := range m.Requires {
		if r.Optional != optional {
			continue
		}
		out = append(out, relation{contract(r.Contract), fmt.Sprint(r.Levels.Min), senseGreater | senseEqual})
		if r.Levels.Max != 0 {
			out = append(out, relation{contract(r.Contract), fmt.Sprint(r.Levels.Max), senseLess | senseEqual})
		}
	}
	return out
}

// features are those of the rpm command that it must have to install a package, so that an old one says so.
func features() []relation {
	return []relation{
		{"rpmlib(CompressedFileNames)", "3.0.4-1", senseLess | senseEqual | senseRPMLib},
		{"rpmlib(FileDigests)", "4.6.0-1", senseLess | senseEqual | senseRPMLib},
		{"rpmlib(PayloadIsZstd)", "5.4.18-1", senseLess | senseEqual | senseRPMLib},
	}
}

// pack converts for rpmpack.
func pack(rs []relation) rpmpack.Relations {
	var out rpmpack.Relations
	for _, r := range rs {
		p := &rpmpack.Relation{Name: r.name, Version: r.version}
		// The type of Sense has no name outside of rpmpack.
		for _, bit := range []uint32{senseLess, senseGreater, senseEqual} {
			switch r.sense & bit {
			case senseLess:
				p.Sense |= rpmpack.SenseLess
			case senseGreater:
				p.Sense |= rpmpack.SenseGreater
			case senseEqual:
				p.Sense |= rpmpack.SenseEqual
			}
		}
		if r.sense&senseRPMLib != 0 {
			p.Sense |= rpmpack.SenseRPMLIB
		}
		out = append(out, p)
	}
	return out
}

// sameRelations says in words how the header's relations differ from the manifest's; empty when they do not.
func sameRelations(kind string, header, manifest []relation) string {
	have, want := texts(header), texts(manifest)
	for _, w := range want {
		if !slices.Contains(have, w) {
			return fmt.Sprintf("the manifest %s %q, the header does not", kind, w)
		}
	}
	for _, h := range have {
		if !slices.Contains(want, h) {
			return fmt.Sprintf("the header %s %q, the manifest does not", kind, h)
		}
	}
	return ""
}

func texts(rs []relation) []string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = r.String()
	}
	return out
}

// withoutFeatures leaves out what concerns the rpm command only.
func withoutFeatures(rs []relation) []relation {
	return slices.DeleteFunc(slices.Clone(rs), func(r relation) bool {
		return r.sense&senseRPMLib != 0 && strings.HasPrefix(r.name, "rpmlib(")
	})
}
