// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ashlar-nos/ashlar/services/kit/meter"
)

const (
	// maxText bounds what a component may answer.
	maxText = 4 << 20
	// againAfter is the pause before a socket is tried again.
	againAfter = 20 * time.Millisecond
)

// series is one counter with its labels.
type series struct {
	family string
	labels map[string]string
	value  float64
}

// key tells the series of a sample apart.
func (s series) key() string {
	var b strings.Builder
	b.WriteString(s.family)
	for _, name := range slices.Sorted(maps.Keys(s.labels)) {
		fmt.Fprintf(&b, "\x00%s\x00%s", name, s.labels[name])
	}
	return b.String()
}

// sample is what one process said at one time.
type sample struct {
	// process tells processes apart.
	process  string
	series   []series
	families map[string]bool
}

// scrape reads families of metrics from a unix socket. It tries again until ctx ends: a process that is replaced may
// not answer for a moment.
func scrape(ctx context.Context, socket string, names []string) (sample, error) {
	var why error
	for {
		s, err := request(ctx, socket, names)
		if err == nil {
			return s, nil
		}
		if why == nil || ctx.Err() == nil {
			why = err
		}
		timer := time.NewTimer(againAfter)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return s, why
		}
	}
}

// request is one GET on a connection of its own: a connection that is kept would stay with a process that is replaced.
func request(ctx context.Context, socket string, names []string) (sample, error) {
	transport := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	address := "http://component/metrics?" + url.Values{"name[]": names}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return sample{}, err
	}
	r.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return sample{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return sample{}, fmt.Errorf("its metrics are answered with %s", resp.Status)
	}
	s, err := parse(&bounded{r: resp.Body, left: maxText}, names)
	s.process = resp.Header.Get(meter.ProcessHeader)
	if err == nil && s.process == "" {
		err = fmt.Errorf("its metrics are answered without %s, so that its processes cannot be told apart", meter.ProcessHeader)
	}
	return s, err
}

// bounded is a reader that fails, and does not end, at its limit: half a number must not be taken for a whole one.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("its metrics have more than %d bytes", maxText)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// parse keeps the named families of a text.
func parse(text io.Reader, names []string) (sample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	found, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return sample{}, fmt.Errorf("its metrics cannot be read: %w", err)
	}
	s := sample{families: map[string]bool{}}
	for _, name := range names {
		family := found[name]
		if family == nil {
			continue
		}
		s.families[name] = true
		for _, m := range family.GetMetric() {
			s.series = append(s.series, series{name, labels(m), number(m)})
		}
	}
	for _, one := range s.series {
		if math.IsNaN(one.value) || math.IsInf(one.value, 0) || one.value < 0 {
			return sample{}, fmt.Errorf("its metric %s is %v, which is no count", one.family, one.value)
		}
	}
	return s, nil
}

func labels(m *dto.Metric) map[string]string {
	out := map[string]string{}
	for _, l := range m.GetLabel() {
		out[l.GetName()] = l.GetValue()
	}
	return out
}

// number is a counter's value, whatever type the text says that it has.
func number(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetGauge() != nil:
		return m.GetGauge().GetValue()
	case m.GetUntyped() != nil:
		return m.GetUntyped().GetValue()
	}
	return math.NaN() // a histogram or summary is no one count
}
