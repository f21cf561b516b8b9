// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"strings"

	"google.golang.org/grpc"

	"github.com/ashlar-nos/ashlar/services/kit/contract"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// ownContracts is the prefix of the packages that manifests speak of.
const ownContracts = "ashlar."

// checkContracts compares what is served with what the manifest says: the same contracts, at the level that
// their declarations carry.
func checkContracts(m *manifest.Manifest, served map[string]grpc.ServiceInfo) error {
	packages := map[string]bool{}
	for service := range served {
		if name := service[:strings.LastIndexByte(service, '.')]; strings.HasPrefix(name, ownContracts) {
			packages[name] = true
		}
	}
	for name := range packages {
		if _, ok := m.Level(name); !ok {
			return fmt.Errorf("serves %s, which component.yaml does not list under provides", name)
		}
	}
	for _, p := range m.Provides {
		if strings.HasPrefix(p.Contract, ownContracts) && !packages[p.Contract] {
			return fmt.Errorf("component.yaml provides %s, which is not served", p.Contract)
		}
		if level := contract.Level(p.Contract); level != 0 && level != p.Level {
			return fmt.Errorf("component.yaml provides %s at level %d, its declaration says %d", p.Contract, p.Level, level)
		}
	}
	return nil
}
