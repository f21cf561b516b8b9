// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	"github.com/ashlar-nos/ashlar/services/interfaces/internal/reconcile"
)

// wire is a view as the contract carries it. The result is not changed once it is shared.
func wire(v *reconcile.View) *interfacesv1.Interface {
	i := &interfacesv1.Interface{Name: v.Intent.Name, Enabled: v.Intent.Enabled, Mtu: uint32(v.Intent.MTU)}
	i.Reason = reason(v)
	if !v.Present {
		return i
	}
	l := v.State.Link
	i.Index, i.Mtu, i.Up = uint32(l.Index), uint32(l.MTU), l.Up && l.Carrier
	i.HardwareAddress, i.CarrierChanges = l.Address, uint32(l.CarrierChanges)
	for _, a := range v.State.Addresses {
		i.Addresses = append(i.Addresses, &interfacesv1.Address{
			Address: a.Prefix.Addr().AsSlice(), PrefixLength: uint32(a.Prefix.Bits()),
		})
	}
	return i
}

// reason says why an interface is not up; empty when it is.
func reason(v *reconcile.View) string {
	switch l := v.State.Link; {
	case !v.Present:
		return "there is no link of this name"
	case !v.Intent.Enabled:
		return "it is disabled by configuration"
	case !l.Up:
		return "it is administratively down"
	case !l.Carrier:
		return "it has no carrier"
	}
	return ""
}
