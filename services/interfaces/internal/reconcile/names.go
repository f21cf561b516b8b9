// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package reconcile

import "sync"

// indexNames knows the names of links by index, since most events carry only the index. The zero value
// is empty. Safe for concurrent use.
type indexNames struct {
	mu    sync.Mutex
	names map[int]string
}

// learn takes a link's name. It returns the name that the link had before, if that was another.
func (x *indexNames) learn(index int, name string) (old string, renamed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.names == nil {
		x.names = map[int]string{}
	}
	old, known := x.names[index]
	x.names[index] = name
	return old, known && old != name
}

// of returns the name of a link.
func (x *indexNames) of(index int) (string, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	name, ok := x.names[index]
	return name, ok
}

// forget drops a link that is gone.
func (x *indexNames) forget(index int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.names, index)
}
