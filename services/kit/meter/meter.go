// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package meter serves the metrics of a process to Prometheus, so that they can be read often: a request that names
// metrics (name[]) and none of the Go runtime's or the kernel's costs some 50 µs, since only those are expensive to
// gather. Each answer says which process gave it, because a socket outlives processes.
package meter

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ProcessHeader is the header of an answer that tells processes apart: the same text is the same process.
const ProcessHeader = "Ashlar-Process"

// expensive begin the names of what the runtime and the kernel tell.
var expensive = []string{"go_", "process_"}

// Handler answers GET /metrics.
type Handler struct {
	process      string
	own, further http.Handler
}

// New returns a handler of the program's own metrics and of its process's. started is when the process did.
func New(own *prometheus.Registry, started time.Time) *Handler {
	process := prometheus.NewRegistry()
	process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	options := promhttp.HandlerOpts{Registry: own}
	return &Handler{
		process: fmt.Sprintf("%d.%d", os.Getpid(), started.UnixNano()),
		own:     promhttp.HandlerFor(own, options),
		further: promhttp.HandlerFor(prometheus.Gatherers{own, process}, promhttp.HandlerOpts{}),
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(ProcessHeader, h.process)
	names := r.URL.Query()["name[]"]
	if len(names) == 0 || slices.ContainsFunc(names, isExpensive) {
		h.further.ServeHTTP(w, r)
		return
	}
	h.own.ServeHTTP(w, r)
}

func isExpensive(name string) bool {
	return slices.ContainsFunc(expensive, func(begin string) bool { return strings.HasPrefix(name, begin) })
}
