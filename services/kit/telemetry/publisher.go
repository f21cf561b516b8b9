// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package telemetry publishes the state that a component owns, as gNMI notifications over ashlar.telemetry.v1.
//
// The publisher keeps the newest value of each leaf. Each subscriber has a set of leaves to send, so that a
// slow one costs memory bounded by the number of leaves, never a queue that grows. All methods are safe for
// concurrent use and none blocks on a subscriber.
package telemetry

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// Publisher holds a component's state leaves. The zero value is not usable; see NewPublisher.
type Publisher struct {
	mu          sync.Mutex
	leaves      map[string]*leaf
	subscribers map[*subscriber]struct{}
	end         sync.Once
	ended       chan struct{}
}

type leaf struct {
	path  *gnmi.Path
	value *gnmi.TypedValue
	at    int64
}

// NewPublisher returns an empty publisher.
func NewPublisher() *Publisher {
	return &Publisher{leaves: map[string]*leaf{}, subscribers: map[*subscriber]struct{}{}, ended: make(chan struct{})}
}

// End ends every subscription with UNAVAILABLE, so that a component that drains does not wait for those who
// listen to it: they come again to its successor. Publishing goes on to be possible and reaches nobody.
func (p *Publisher) End() { p.end.Do(func() { close(p.ended) }) }

// Publish sets leaves and deletes subtrees, deletes first, as of one moment. Paths are absolute, for example
// "/interfaces/interface[name=ge0]/state/mtu"; values are bool, signed and unsigned integers, float64, string,
// []byte or []string; a nil value deletes the leaf. A value that did not change is not sent again.
// It panics on a path that does not parse and on a value of another type: both are errors of the program.
func (p *Publisher) Publish(at time.Time, updates map[string]any, deletes ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, root := range deletes {
		p.delete(root, at)
	}
	for path, value := range updates {
		p.set(path, value, at)
	}
	p.wake()
}

// ReplaceSubtree makes the leaves below root exactly the given ones: it sets those named, and deletes those
// below root that are not.
func (p *Publisher) ReplaceSubtree(at time.Time, root string, updates map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path := range p.leaves {
		if _, kept := updates[path]; !kept && below(root, path) {
			p.delete(path, at)
		}
	}
	for path, value := range updates {
		p.set(path, value, at)
	}
	p.wake()
}

func (p *Publisher) set(path string, value any, at time.Time) {
	if value == nil {
		p.delete(path, at)
		return
	}
	typed := typedValue(path, value)
	old, ok := p.leaves[path]
	if ok && proto.Equal(old.value, typed) {
		return
	}
	if !ok {
		old = &leaf{path: gpath.MustParse(path)}
	}
	p.leaves[path] = &leaf{path: old.path, value: typed, at: at.UnixNano()}
	for s := range p.subscribers {
		s.dirty[path] = struct{}{}
	}
}

func (p *Publisher) delete(root string, at time.Time) {
	found := false
	if _, exact := p.leaves[root]; exact {
		delete(p.leaves, root)
		found = true
	} else {
		for path := range p.leaves {
			if below(root, path) {
				delete(p.leaves, path)
				found = true
			}
		}
	}
	if !found {
		return
	}
	for s := range p.subscribers {
		s.deleted[root] = at.UnixNano()
	}
}

func (p *Publisher) wake() {
	for s := range p.subscribers {
		s.wake()
	}
}

// below reports whether a path is the root or lies below it.
func below(root, path string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
	return ok && (rest == "" || rest[0] == '/' || rest[0] == '[')
}

func typedValue(path string, value any) *gnmi.TypedValue {
	switch v := value.(type) {
	case bool:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BoolVal{BoolVal: v}}
	case string:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: v}}
	case int:
		return signed(int64(v))
	case int32:
		return signed(int64(v))
	case int64:
		return signed(v)
	case uint8:
		return unsigned(uint64(v))
	case uint16:
		return unsigned(uint64(v))
	case uint32:
		return unsigned(uint64(v))
	case uint64:
		return unsigned(v)
	case float64:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_DoubleVal{DoubleVal: v}}
	case []byte:
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_BytesVal{BytesVal: v}}
	case []string:
		list := &gnmi.ScalarArray{}
		for _, s := range v {
			list.Element = append(list.Element, &gnmi.TypedValue{Value: &gnmi.TypedValue_StringVal{StringVal: s}})
		}
		return &gnmi.TypedValue{Value: &gnmi.TypedValue_LeaflistVal{LeaflistVal: list}}
	}
	panic(fmt.Sprintf("telemetry: %s has a value of type %T", path, value))
}

func signed(v int64) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_IntVal{IntVal: v}}
}

func unsigned(v uint64) *gnmi.TypedValue {
	return &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: v}}
}
