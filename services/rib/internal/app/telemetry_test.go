// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"testing"

	telemetryv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// TestStateIsPublished follows the state as the configuration service does: a pending next hop with its
// reason, then resolved once its interface is there.
func TestStateIsPublished(t *testing.T) {
	h := newHouse(t).start()
	h.set(t, map[string]string{at("10.99.0.0/16"): route("10.99.0.0/16", "172.16.9.9")})
	st, err := telemetryv1.NewTelemetryClient(h.Dial()).Subscribe(h.ctx, &telemetryv1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]string{}
	until := func(done func(m *telemetryv1.SubscribeResponse) bool) {
		t.Helper()
		for {
			m, err := st.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range m.GetNotification().GetUpdate() {
				v := u.GetVal()
				state[gpath.String(u.GetPath())] = fmt.Sprint(v.GetStringVal(), v.GetBoolVal(), v.GetUintVal())
			}
			for _, p := range m.GetNotification().GetDelete() {
				delete(state, gpath.String(p))
			}
			if done(m) {
				return
			}
		}
	}
	until(func(m *telemetryv1.SubscribeResponse) bool { return m.GetSynced() != nil })
	instance := "/network-instances/network-instance[name=DEFAULT]"
	hop := at("10.99.0.0/16") + "/next-hops/next-hop[index=0]/state"
	for path, want := range map[string]string{
		instance + "/state/name": "DEFAULT",
		instance + "/state/type": "openconfig-network-instance-types:DEFAULT_INSTANCE",
		instance + "/protocols/protocol[identifier=STATIC][name=static]/state/identifier": "openconfig-policy-types:STATIC",
		instance + "/protocols/protocol[identifier=STATIC][name=static]/state/name":       "static",
		at("10.99.0.0/16") + "/state/prefix":                                              "10.99.0.0/16",
		hop + "/next-hop":                                                                 "172.16.9.9",
		hop + "/unresolved-reason":                                                        "no route to 172.16.9.9",
	} {
		if got := state[path]; got != want+"false0" && got != want+"false 0" {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	h.interfaces.set("ge9", true, "172.16.9.1/24")
	until(func(*telemetryv1.SubscribeResponse) bool {
		_, unresolved := state[hop+"/unresolved-reason"]
		return !unresolved && state[hop+"/resolved"] != ""
	})
}
