// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package meter_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ashlar-nos/ashlar/services/kit/meter"
)

func handler(started time.Time) *meter.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "stones_total"}, func() float64 { return 3 }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "others_total"}, func() float64 { return 4 }),
	)
	return meter.New(registry, started)
}

func get(h *meter.Handler, query string) (text, process string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics"+query, nil))
	return w.Body.String(), w.Header().Get(meter.ProcessHeader)
}

func TestWhatIsNamed(t *testing.T) {
	h := handler(time.Unix(1, 0))
	for query, want := range map[string][4]bool{
		"":                     {true, true, true, true},
		"?name[]=stones_total": {true, false, false, false},
		"?name[]=stones_total&name[]=process_start_time_seconds": {true, false, true, false},
		"?name[]=go_goroutines":                                  {false, false, false, true},
	} {
		text, _ := get(h, query)
		for i, name := range []string{"stones_total 3", "others_total 4", "process_start_time_seconds ", "go_goroutines "} {
			if got := strings.Contains(text, "\n"+name); got != want[i] {
				t.Errorf("%q: %s is there: %t, want %t", query, name, got, want[i])
			}
		}
	}
}

func TestProcessesAreToldApart(t *testing.T) {
	h := handler(time.Unix(1, 0))
	_, first := get(h, "")
	_, again := get(h, "?name[]=stones_total")
	_, other := get(handler(time.Unix(2, 0)), "")
	if first == "" || first != again || first == other {
		t.Errorf("%q, then %q, and another process is %q", first, again, other)
	}
}

func BenchmarkNamed(b *testing.B) {
	h := handler(time.Unix(1, 0))
	for b.Loop() {
		get(h, "?name[]=stones_total")
	}
}
