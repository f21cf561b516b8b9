// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

const good = `
name: rib
daemon: ribd
version: 1.2.3
summary: Best paths
provides:
  - {contract: ashlar.rib.v1, level: 2}
requires:
  - {contract: ashlar.dataplane.v1, levels: {min: 2}}
run: {command: [bin/ribd], environment: {GOGC: "50"}}
sockets:
  - {name: api, unix: rib.sock, mode: "0666"}
  - {name: gnmi, tcp: ":9339"}
resources: {memory: 64MiB, pids: 100}
health: {interval: 250ms}
`

func TestParse(t *testing.T) {
	m, err := manifest.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	level, ok := m.Level("ashlar.rib.v1")
	socket, _ := m.Socket("api")
	mode, err := socket.FileMode()
	switch {
	case !ok || level != 2:
		t.Errorf("level %d, %t", level, ok)
	case err != nil || mode != 0o666:
		t.Errorf("mode %o, %v", mode, err)
	case m.Resources.Memory != 64<<20:
		t.Errorf("memory %d", m.Resources.Memory)
	case time.Duration(m.Health.Interval) != 250*time.Millisecond || time.Duration(m.Drain) != 5*time.Second:
		t.Errorf("interval %v, drain %v: want the given and the default", m.Health.Interval, m.Drain)
	case !m.Requires[0].Levels.Contains(7) || m.Requires[0].Levels.Contains(1):
		t.Error("an open range of levels does not hold what it should")
	}
}

func TestBadManifests(t *testing.T) {
	for desc, tt := range map[string]struct{ from, to, want string }{
		"unknown key":        {"summary:", "sumary:", "sumary"},
		"bad version":        {"1.2.3", "1.2", "semantic version"},
		"bad name":           {"name: rib", "name: RIB", "name"},
		"path outside":       {"bin/ribd", "../../bin/sh", "run.command"},
		"absolute path":      {"bin/ribd", "/bin/sh", "run.command"},
		"contract, no major": {"ashlar.rib.v1", "ashlar.rib", "major version"},
		"level zero":         {"level: 2", "level: 0", "level"},
		"socket of no kind":  {`unix: rib.sock, mode: "0666"`, `mode: "0666"`, "either unix or tcp"},
		"socket path":        {"unix: rib.sock", "unix: ../rib.sock", "plain file name"},
		"bad mode":           {`"0666"`, `"rw"`, "octal"},
		"bad duration":       {"250ms", "soon", "duration"},
		"bad size":           {"64MiB", "64XB", "size"},
		"two of one name":    {"name: gnmi", "name: api", "name of its own"},
		"handover":           {"health:", "handover: sideways\nhealth:", "handover"},
	} {
		_, err := manifest.Parse([]byte(strings.Replace(good, tt.from, tt.to, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", desc, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := manifest.Parse(text); err == nil && m.Name == "" {
			t.Error("a manifest without a name was taken")
		}
	})
}
