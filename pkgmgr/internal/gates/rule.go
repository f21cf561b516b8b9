// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"maps"
	"slices"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/store"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// metricsSocket is the name that manifests give to the socket that serves Prometheus.
const metricsSocket = "metrics"

// The names of the gates that every device has.
const (
	CallsFailed = "calls failed"
	Crashes     = "crashes"
)

// rule is a counter that must not grow: of one component, or of all.
type rule struct {
	// component is empty for all of them.
	component string
	manifest.Gate
	// codes keeps the series that have one of these values of the label grpc_code; nil keeps all.
	codes []string
	// now and then say whether the version that runs, and the one that comes after, must have the counter.
	now, then bool
}

// failedCalls are calls from one component to another that ended in a way that says that the other one failed.
var failedCalls = rule{
	Gate:  manifest.Gate{Name: CallsFailed, Metric: "grpc_client_handled_total", Where: map[string]string{"grpc_type": "unary"}},
	codes: []string{"Unavailable", "Internal", "Unknown", "DataLoss", "DeadlineExceeded"},
}

// rulesOf are the gates of every member and of the successor, each once.
func rulesOf(members []*store.Package, successor *store.Package) []rule {
	out := []rule{failedCalls}
	for _, p := range members {
		for _, g := range p.Manifest.Gates {
			r := declared(&out, p.Component, g)
			r.now, r.then = true, successor == nil || successor.Component != p.Component
		}
	}
	if successor != nil {
		for _, g := range successor.Manifest.Gates {
			declared(&out, successor.Component, g).then = true
		}
	}
	return out
}

// declared finds the rule of a component's gate, or adds it.
func declared(rules *[]rule, component string, g manifest.Gate) *rule {
	i := slices.IndexFunc(*rules, func(r rule) bool { return r.component == component && same(r.Gate, g) })
	if i < 0 {
		i = len(*rules)
		*rules = append(*rules, rule{component: component, Gate: g})
	}
	return &(*rules)[i]
}

func same(a, b manifest.Gate) bool {
	return a.Name == b.Name && a.Metric == b.Metric && a.Most == b.Most && a.Survives == b.Survives && maps.Equal(a.Where, b.Where)
}

// concerns reports whether a component's counters count.
func (r rule) concerns(component string) bool { return r.component == "" || r.component == component }

// keeps reports whether a series counts.
func (r rule) keeps(s series) bool {
	if s.family != r.Metric || r.codes != nil && !slices.Contains(r.codes, s.labels["grpc_code"]) {
		return false
	}
	for label, value := range r.Where {
		if s.labels[label] != value {
			return false
		}
	}
	return true
}

// families are the metrics that a component is asked for.
func families(rules []rule, component string) []string {
	var names []string
	for _, r := range rules {
		if r.concerns(component) && !slices.Contains(names, r.Metric) {
			names = append(names, r.Metric)
		}
	}
	return names
}
