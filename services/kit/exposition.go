// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/meter"
)

const (
	// scrapeLimit bounds the reading and the answering of one metrics request.
	scrapeLimit = 10 * time.Second
	// partLimit bounds how long requests under way may take once the next version answers.
	partLimit = time.Second
)

// exposition answers Prometheus on the metrics socket, if the manifest has one. Its user locks.
type exposition struct {
	rt      *Runtime
	handler *meter.Handler
	current *scrapes
}

// scrapes is one server in the life of an exposition.
type scrapes struct {
	server *http.Server
	gate   *gate
}

func newExposition(rt *Runtime) *exposition {
	return &exposition{rt: rt, handler: meter.New(rt.Metrics, rt.started)}
}

func (e *exposition) resume() error {
	if e.current != nil || !e.rt.has(socketMetrics) {
		return nil
	}
	l, err := e.rt.Listener(socketMetrics)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", e.handler)
	s := &scrapes{
		server: &http.Server{Handler: mux, ReadTimeout: scrapeLimit, WriteTimeout: scrapeLimit, MaxHeaderBytes: 8 << 10},
		gate:   newGate(l, nothing),
	}
	e.current = s
	go func() {
		if err := s.server.Serve(s.gate); !errors.Is(err, http.ErrServerClosed) {
			e.rt.Log.Error("metrics are not served", "error", err)
		}
	}()
	return nil
}

// pause stops accepting at once and lets requests under way end.
func (e *exposition) pause() {
	s := e.current
	e.current = nil
	if s == nil {
		return
	}
	stopped := s.gate.stop()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), partLimit)
		defer cancel()
		if stopped == nil {
			select {
			case <-s.gate.parked:
			case <-ctx.Done():
			}
		}
		if s.server.Shutdown(ctx) != nil {
			s.server.Close()
		}
	}()
}
