// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
)

const viaGe0 = static + "[prefix=10.0.0.0/8]/next-hops/next-hop[index=a]/interface-ref/config/interface"

func TestReferenceMustBeConfigured(t *testing.T) {
	err := refusal(t, tree.NewConfig(model()), `update `+viaGe0+` "ge0"`)
	if err.Kind != schema.BadValue || err.Path != viaGe0 || !strings.Contains(err.Reason, "not configured") {
		t.Error(err)
	}
	// The order within one Set does not matter.
	for _, ops := range [][]string{
		{`update ` + viaGe0 + ` "ge0"`, `update ` + ge0 + `/config {}`},
		{`update ` + ge0 + `/config {}`, `update ` + viaGe0 + ` "ge0"`},
	} {
		must(t, tree.NewConfig(model()), ops...)
	}
}

func TestReferredToCannotGo(t *testing.T) {
	base := must(t, two(t), `update `+viaGe0+` "ge0"`)
	for _, op := range []string{`delete ` + ge0, `delete /interfaces`, `replace /interfaces {"interface":[{"name":"ge1"}]}`} {
		if err := refusal(t, base, op); err.Path != viaGe0 {
			t.Errorf("%s: %v", op, err)
		}
	}
	must(t, base, `delete `+ge1)
	must(t, base, `delete `+ge0, `delete `+static)
	must(t, base, `delete `+ge0, `update `+viaGe0+` "ge1"`)
	must(t, base, `delete `+ge0, `update `+ge0+`/config {"mtu":9000}`)
	later := must(t, must(t, base, `update `+viaGe0+` "ge1"`), `delete `+ge0)
	if err := refusal(t, later, `delete `+ge1); err.Path != viaGe0 {
		t.Error(err)
	}
	must(t, must(t, later, `delete `+viaGe0), `delete `+ge1)
}

func TestReferencesSurviveReload(t *testing.T) {
	base := must(t, two(t), `update `+viaGe0+` "ge0"`)
	again, err := tree.FromJSON(model(), base.JSON(), at(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := refusal(t, again, `delete `+ge0); err.Path != viaGe0 {
		t.Error(err)
	}
}

func TestMandatoryLeaves(t *testing.T) {
	neighbor := ge1 + "/subinterfaces/subinterface[index=0]/ipv4/neighbors/neighbor[ip=192.0.2.9]"
	err := refusal(t, two(t), `update `+neighbor+`/config {}`)
	if err.Path != neighbor+"/config/link-layer-address" || !strings.Contains(err.Reason, "mandatory") {
		t.Error(err)
	}
	base := must(t, two(t), `update `+neighbor+`/config {"link-layer-address":"02:00:00:00:00:01"}`)
	if err := refusal(t, base, `delete `+neighbor+`/config/link-layer-address`); err.Path != neighbor+"/config/link-layer-address" {
		t.Error(err)
	}
	must(t, base, `delete `+neighbor)
}
