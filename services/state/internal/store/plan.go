// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Operation changes one row, or deletes many.
type Operation struct {
	Table, Key string
	// Delete removes the row; with Prefix every row whose key begins with Key.
	Delete, Prefix bool
	Value          []byte
	Lease          int64
}

// plan turns operations, of which a later one prevails over an earlier, into operations that do not
// overlap: etcd refuses a transaction in which a key is changed twice.
func plan(operations []Operation) ([]clientv3.Op, error) {
	last := map[string]int{}
	var prefixes []span
	for i, o := range operations {
		key := rowKey(o.Table, o.Key)
		if o.Delete && o.Prefix {
			prefixes = append(prefixes, span{prefix: key, at: i})
			continue
		}
		last[key] = i
	}
	prefixes = outermost(prefixes)
	var out []clientv3.Op
	var puts []string
	for key, i := range last {
		if coveredAfter(prefixes, key, i) {
			continue
		}
		if o := operations[i]; !o.Delete {
			puts = append(puts, key)
			out = append(out, put(key, o))
		} else if !covered(prefixes, key) {
			out = append(out, clientv3.OpDelete(key))
		}
	}
	slices.Sort(puts)
	for _, p := range prefixes {
		out = append(out, p.around(puts)...)
	}
	if len(out) > MaxOperations {
		return nil, fmt.Errorf("%w: prefix deletes and puts below them make %d operations, the limit is %d (operations)", ErrLimit, len(out), MaxOperations)
	}
	return out, nil
}

func put(key string, o Operation) clientv3.Op {
	if o.Lease == 0 {
		return clientv3.OpPut(key, string(o.Value))
	}
	return clientv3.OpPut(key, string(o.Value), clientv3.WithLease(clientv3.LeaseID(o.Lease)))
}

// span is a deleted prefix and where in the operations it stood. within are those it swallowed.
type span struct {
	prefix string
	at     int
	within []span
}

// outermost drops prefixes that lie inside another, and sorts. The outer one keeps those it swallowed, for
// the question of what they delete of what was put before them.
func outermost(all []span) []span {
	slices.SortFunc(all, func(a, b span) int { return strings.Compare(a.prefix, b.prefix) })
	var out []span
	for _, s := range all {
		if n := len(out); n > 0 && strings.HasPrefix(s.prefix, out[n-1].prefix) {
			out[n-1].within = append(out[n-1].within, s)
			continue
		}
		out = append(out, s)
	}
	return out
}

// around returns deletes of everything with the prefix but the keys in puts, which are sorted.
func (s span) around(puts []string) []clientv3.Op {
	var out []clientv3.Op
	from, end := s.prefix, prefixEnd(s.prefix)
	for i := sort.SearchStrings(puts, s.prefix); i < len(puts) && puts[i] < end; i++ {
		if from < puts[i] {
			out = append(out, clientv3.OpDelete(from, clientv3.WithRange(puts[i])))
		}
		from = puts[i] + "\x00"
	}
	if from < end {
		out = append(out, clientv3.OpDelete(from, clientv3.WithRange(end)))
	}
	return out
}

// find returns the outermost prefix that holds the key.
func find(prefixes []span, key string) (span, bool) {
	i := sort.Search(len(prefixes), func(i int) bool { return prefixes[i].prefix > key }) - 1
	if i < 0 || !strings.HasPrefix(key, prefixes[i].prefix) {
		return span{}, false
	}
	return prefixes[i], true
}

func covered(prefixes []span, key string) bool {
	_, ok := find(prefixes, key)
	return ok
}

// coveredAfter reports whether a prefix delete that stands after place at holds the key.
func coveredAfter(prefixes []span, key string, at int) bool {
	outer, ok := find(prefixes, key)
	if !ok {
		return false
	}
	if outer.at > at {
		return true
	}
	return slices.ContainsFunc(outer.within, func(s span) bool { return s.at > at && strings.HasPrefix(key, s.prefix) })
}
