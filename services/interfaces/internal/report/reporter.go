// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package report publishes the state leaves of openconfig-interfaces and openconfig-if-ip, but for
// counters, which are the dataplane's. A Reporter is used by one goroutine at a time.
package report

import (
	"time"

	"github.com/ashlar-nos/ashlar/services/interfaces/internal/intent"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/kernel"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/reconcile"
)

// Publisher takes leaves by absolute path; the kit's telemetry publisher is one.
type Publisher interface {
	Publish(at time.Time, updates map[string]any, deletes ...string)
}

// Reporter turns views of interfaces into leaves.
type Reporter struct {
	publisher Publisher
	// told are the leaves of each interface.
	told map[string]map[string]any
}

// New returns a reporter.
func New(p Publisher) *Reporter { return &Reporter{publisher: p, told: map[string]map[string]any{}} }

// Tell publishes what differs from what was told of the interface before; nil withdraws it.
func (r *Reporter) Tell(name string, v *reconcile.View) {
	next := map[string]any{}
	if v != nil {
		next = leaves(v)
	}
	old := r.told[name]
	updates := map[string]any{}
	var deletes []string
	for path, value := range next {
		if old[path] != value {
			updates[path] = value
		}
	}
	for path := range old {
		if _, kept := next[path]; !kept {
			deletes = append(deletes, path)
		}
	}
	if r.told[name] = next; v == nil {
		delete(r.told, name)
	}
	if len(updates)+len(deletes) > 0 {
		r.publisher.Publish(time.Now(), updates, deletes...)
	}
}

// leaves are all state leaves of an interface, with comparable values.
func leaves(v *reconcile.View) map[string]any {
	out := map[string]any{}
	top := v.Intent.Path() + "/state/"
	out[top+"name"] = v.Intent.Name
	out[top+"type"] = "iana-if-type:ethernetCsmacd"
	if mtu := mtuOf(v); mtu > 0 {
		out[top+"mtu"] = uint64(mtu)
	}
	common(out, top, v, v.Intent.Description, v.Intent.Enabled)
	subinterface(out, v)
	return out
}

func mtuOf(v *reconcile.View) int {
	if v.Present {
		return v.State.Link.MTU
	}
	return v.Intent.MTU
}

// common are the leaves that interfaces and subinterfaces share.
func common(out map[string]any, top string, v *reconcile.View, description string, enabled bool) {
	if description != "" {
		out[top+"description"] = description
	}
	out[top+"enabled"] = enabled
	out[top+"last-change"] = uint64(v.LastChange.UnixNano())
	out[top+"admin-status"], out[top+"oper-status"] = adminStatus(v, enabled), operStatus(v, enabled)
	if v.Present {
		out[top+"ifindex"] = uint64(v.State.Link.Index)
	}
}

func adminStatus(v *reconcile.View, enabled bool) string {
	if enabled && (!v.Present || v.State.Link.Up) {
		return "UP"
	}
	return "DOWN"
}

// operStatus is the kernel's operational state (RFC 2863) in the model's words. Drivers that keep none
// are judged by carrier.
func operStatus(v *reconcile.View, enabled bool) string {
	const (
		lowerLayerDown = 3
		testing        = 4
		dormant        = 5
	)
	l := v.State.Link
	switch {
	case !v.Present:
		return "NOT_PRESENT"
	case !l.Up || !enabled:
		return "DOWN"
	case l.Operational == testing:
		return "TESTING"
	case l.Operational == dormant:
		return "DORMANT"
	case l.Carrier:
		return "UP"
	case l.Operational == lowerLayerDown:
		return "LOWER_LAYER_DOWN"
	}
	return "DOWN"
}

func subinterface(out map[string]any, v *reconcile.View) {
	s := v.Intent.Subinterface
	if s == nil {
		s = &intent.Subinterface{Enabled: true}
	}
	top := intent.SubinterfacePath(v.Intent.Name) + "/state/"
	out[top+"index"] = uint64(0)
	out[top+"name"] = v.Intent.Name
	common(out, top, v, s.Description, s.Enabled && v.Intent.Enabled)
	for family, f := range map[string]*intent.Family{"ipv4": s.V4, "ipv6": s.V6} {
		if f != nil {
			out[intent.SubinterfacePath(v.Intent.Name)+"/"+family+"/state/enabled"] = f.Enabled && s.Enabled
		}
	}
	for _, a := range v.State.Addresses {
		address(out, v, a)
	}
	for _, n := range v.State.Neighbors {
		neighbor(out, v, n)
	}
}

func address(out map[string]any, v *reconcile.View, a kernel.Address) {
	ip := a.Prefix.Addr()
	text, configured := ip.String(), false
	for _, c := range v.Intent.Addresses() {
		if c.Prefix == a.Prefix {
			text, configured = c.Text, true
		}
	}
	top := intent.FamilyPath(v.Intent.Name, ip) + "/addresses/address" + intent.ListKey("ip", text) + "/state/"
	out[top+"ip"] = text
	out[top+"prefix-length"] = uint64(a.Prefix.Bits())
	out[top+"origin"] = addressOrigin(a, configured)
}
