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
	if !v.Present {
		return i
	}
	l := v.State.Link
	i.Index, i.Mtu, i.Up = uint32(l.Index), uint32(l.MTU), l.Up && l.Carrier
	i.HardwareAddress = l.Address
	for _, a := range v.State.Addresses {
		i.Addresses = append(i.Addresses, &interfacesv1.Address{
			Address: a.Prefix.Addr().AsSlice(), PrefixLength: uint32(a.Prefix.Bits()),
		})
	}
	return i
}
