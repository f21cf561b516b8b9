// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

// deviation is a difference that is meant.
type deviation struct {
	path, attribute, reason string
}

func deviations() []deviation {
	return []deviation{
		{
			"/interfaces/interface/config/type", "mandatory",
			"every port is Ethernet; what OpenConfig's clients send is taken, and nobody must send it",
		},
		{
			"/network-instances/network-instance/config/type", "mandatory",
			"the instance's name decides; what OpenConfig's clients send is taken, and nobody must send it",
		},
	}
}
