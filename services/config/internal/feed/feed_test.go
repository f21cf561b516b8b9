// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"pgregory.net/rapid"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/config/internal/tree"
	"github.com/ashlar-nos/ashlar/services/config/yang"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

var loadModel = sync.OnceValues(func() (*schema.Model, error) { return schema.Load(yang.Files()) })

func newFeed(t testing.TB) *Feed {
	t.Helper()
	model, err := loadModel()
	if err != nil {
		t.Fatal(err)
	}
	return New(model)
}

func (f *Feed) put(t testing.TB, values map[string]uint64) {
	t.Helper()
	n := &gnmi.Notification{Timestamp: time.Now().UnixNano()}
	for path, v := range values {
		n.Update = append(n.Update, &gnmi.Update{Path: gpath.MustParse(path), Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_UintVal{UintVal: v}}})
	}
	f.EditState(func(e *tree.StateEdit) {
		if errs := e.Put(1, n); len(errs) > 0 {
			t.Error(errs)
		}
	})
}

func (f *Feed) paths(t testing.TB, texts ...string) []schema.Path {
	t.Helper()
	var out []schema.Path
	for _, text := range texts {
		p, err := f.Model().Resolve(gpath.MustParse(text))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func ifindex(port int) string {
	return fmt.Sprintf("/interfaces/interface[name=ge%d]/state/ifindex", port)
}

// TestMatcher holds the trie against a list: every watcher, and only those, whose paths cover a leaf.
func TestMatcher(t *testing.T) {
	f := newFeed(t)
	texts := []string{
		"/", "/interfaces", "/interfaces/interface", "/interfaces/interface[name=*]/state", "/interfaces/interface[name=ge1]",
		"/interfaces/interface[name=ge2]/state/ifindex", "/interfaces/interface[name=*]/subinterfaces/subinterface[index=0]/state",
		"/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC]",
		"/network-instances/network-instance[name=*]/protocols/protocol[identifier=*][name=static]",
		"/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]",
		"/system",
	}
	leaves := f.paths(t, ifindex(1), ifindex(2), ifindex(3), "/system/state/hostname",
		"/interfaces/interface[name=ge1]/subinterfaces/subinterface[index=0]/state/ifindex",
		"/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=static]/name",
		"/network-instances/network-instance[name=red]/protocols/protocol[identifier=STATIC][name=static]/name",
		"/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=DIRECTLY_CONNECTED][name=x]/name")
	all := f.paths(t, texts...)
	rapid.Check(t, func(t *rapid.T) {
		m := newMatcher()
		watching := map[*Watcher][]schema.Path{}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			if len(watching) > 0 && rapid.IntRange(0, 2).Draw(t, "what") == 0 {
				for w := range watching {
					m.remove(w)
					delete(watching, w)
					break
				}
				continue
			}
			w := newWatcher(f)
			watching[w] = rapid.SliceOfN(rapid.SampledFrom(all), 1, 3).Draw(t, "paths")
			m.add(w, watching[w])
		}
		for _, leaf := range leaves {
			got := map[*Watcher]bool{}
			m.each(leaf, func(w *Watcher) { got[w] = true })
			for w, paths := range watching {
				if want := slices.ContainsFunc(paths, func(p schema.Path) bool { return p.Covers(leaf) }); want != got[w] {
					t.Fatalf("a watcher of %v is told of %s: %t, want %t", paths, leaf, got[w], want)
				}
			}
		}
		for w := range watching {
			m.remove(w)
		}
		if !m.empty() || !m.root.bare() {
			t.Fatal("something is left when nobody watches")
		}
	})
}

func TestCoalescing(t *testing.T) {
	f := newFeed(t)
	// The leaf lies in both of its subscriptions and is told once.
	w, _ := f.Watch(f.paths(t, "/interfaces", ifindex(1)))
	defer w.Close()
	for i := range uint64(5) {
		f.put(t, map[string]uint64{ifindex(1): i})
	}
	<-w.Changed()
	events, err := w.Take()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Path.String() == ifindex(1) && (e.Value.String() != "4" || e.Duplicates != 4) {
			t.Errorf("value %s, duplicates %d; want the newest, and 4", e.Value, e.Duplicates)
		}
	}
	if events, _ = w.Take(); len(events) != 0 {
		t.Errorf("taken twice: %v", events)
	}
}

func TestSlowWatcherIsBounded(t *testing.T) {
	f := newFeed(t)
	w, _ := f.Watch(f.paths(t, "/interfaces"))
	defer w.Close()
	w.limit = 10
	for i := range 20 {
		f.put(t, map[string]uint64{ifindex(i): 1})
	}
	events, err := w.Take()
	if !errors.Is(err, ErrSlow) || len(events) != 10 {
		t.Errorf("%d events, error %v; want 10 and %v", len(events), err, ErrSlow)
	}
}

func TestClosedWatcherHearsNothing(t *testing.T) {
	f := newFeed(t)
	w, _ := f.Watch(f.paths(t, "/"))
	w.Close()
	f.put(t, map[string]uint64{ifindex(1): 1})
	select {
	case <-w.Changed():
		t.Error("a closed watcher was told")
	default:
	}
}
