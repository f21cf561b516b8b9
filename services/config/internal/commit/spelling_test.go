// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	configv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"github.com/ashlar-nos/ashlar/services/config/internal/statetest"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

const (
	ge0six    = ge0 + "/subinterfaces/subinterface[index=0]/ipv6/addresses/address[ip=%s]"
	addresses = "/interfaces/interface[name=*]/subinterfaces/subinterface[index=*]/ipv6/addresses/address[ip=*]"
)

// TestOneAddressManySpellings: what was set in one spelling goes when it is deleted in another.
func TestOneAddressManySpellings(t *testing.T) {
	state := statetest.New()
	h := new(lives).open(t, state, Steps{})
	ports := newStone(t, addresses)
	h.attach(ports)
	h.ready()
	object := fmt.Sprintf(ge0six, "2001:db8:f::1")
	if _, err := h.set(fmt.Sprintf(ge0six, "2001:DB8:f:0::1")+"/config", `{"ip":"2001:Db8:F::1","prefix-length":64}`); err != nil {
		t.Fatal(err)
	}
	contains(t, "what ports has", ports.has(object), `"ip":"2001:db8:f::1"`)
	contains(t, "the stored rows", fmt.Sprint(state.Keys("config.objects")), object)
	if _, err := h.set(object, ""); err != nil {
		t.Fatal(err)
	}
	if got := ports.has(object) + h.config(object); got != "" {
		t.Errorf("after the delete there is %q", got)
	}
}

// TestRowsInAnOldSpelling: a row that an older process stored under another spelling is found again.
func TestRowsInAnOldSpelling(t *testing.T) {
	state, l := statetest.New(), new(lives)
	h := l.open(t, state, Steps{})
	ports := newStone(t, addresses)
	h.attach(ports)
	h.ready()
	object, old := fmt.Sprintf(ge0six, "2001:db8:f::1"), fmt.Sprintf(ge0six, "2001:DB8:F::1")
	if _, err := h.set(object+"/config/prefix-length", "64"); err != nil {
		t.Fatal(err)
	}
	h.stop()
	if err := <-h.ended; err != nil {
		t.Fatal(err)
	}
	row, err := proto.Marshal(&configv1.ObjectRow{Path: gpath.MustParse(old),
		Json: []byte(`{"config":{"ip":"2001:DB8:F::1","prefix-length":64}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Transact(t.Context(), &statev1.TransactRequest{FencingToken: l.token, Client: "old", Sequence: 1, Operations: []*statev1.Operation{
		{Operation: &statev1.Operation_Delete{Delete: &statev1.Delete{Table: "config.objects", Key: object}}},
		{Operation: &statev1.Operation_Put{Put: &statev1.Row{Table: "config.objects", Key: old, Value: row}}},
	}}); err != nil {
		t.Fatal(err)
	}
	h = l.open(t, state, Steps{})
	ports = newStone(t, addresses)
	h.attach(ports)
	h.ready()
	contains(t, "what ports has", ports.has(object), `64`)
	if _, err := h.set(object, ""); err != nil {
		t.Fatal(err)
	}
	for _, key := range state.Keys("config.objects") {
		if key == object || key == old {
			t.Errorf("after the delete there is the row %s", key)
		}
	}
}
