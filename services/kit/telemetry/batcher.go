// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"maps"
	"slices"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// batcher gathers changes of the same moment in one notification, since a notification has one timestamp.
type batcher struct {
	byTime map[int64]*gnmi.Notification
	done   []*gnmi.Notification
}

func (b *batcher) at(ns int64) *gnmi.Notification {
	n, ok := b.byTime[ns]
	if ok && len(n.Update)+len(n.Delete) >= notificationSize {
		b.done = append(b.done, n)
		ok = false
	}
	if !ok {
		n = &gnmi.Notification{Timestamp: ns}
		b.byTime[ns] = n
	}
	return n
}

func (b *batcher) delete(root string, at int64) {
	n := b.at(at)
	n.Delete = append(n.Delete, gpath.MustParse(root))
}

func (b *batcher) update(l *leaf) {
	n := b.at(l.at)
	n.Update = append(n.Update, &gnmi.Update{Path: l.path, Val: l.value})
}

// flush closes the open notifications, oldest first, so that subscribers see events in their order.
func (b *batcher) flush() {
	for _, at := range slices.Sorted(maps.Keys(b.byTime)) {
		b.done = append(b.done, b.byTime[at])
	}
	clear(b.byTime)
}
