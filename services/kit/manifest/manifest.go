// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads component.yaml, the one statement of what a component is: its version, the
// contracts it provides and requires, and how it is run. Values are not changed after Parse.
package manifest

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Manifest is a component.yaml.
type Manifest struct {
	// Name is the component's, for example "rib"; Daemon is its process's, for example "ribd".
	Name    string `json:"name"`
	Daemon  string `json:"daemon"`
	Version string `json:"version"`
	Summary string `json:"summary"`

	Provides []Provision   `json:"provides,omitempty"`
	Requires []Requirement `json:"requires,omitempty"`

	Run          Run       `json:"run"`
	Sockets      []Socket  `json:"sockets,omitempty"`
	Capabilities []string  `json:"capabilities,omitempty"`
	Resources    Resources `json:"resources,omitempty"`
	Health       Health    `json:"health,omitempty"`
	Start        Start     `json:"start,omitempty"`
	Restart      Restart   `json:"restart,omitempty"`
	// Drain bounds how long the component may take to end; 5 s when absent.
	Drain    Duration `json:"drain,omitempty"`
	Handover Handover `json:"handover,omitempty"`
	State    State    `json:"state,omitempty"`
	// Gates are counters of this component that an upgrade of any component must not move.
	Gates []Gate `json:"gates,omitempty"`
}

// Gate is a counter among the component's metrics, and how far it may move while a version is tried.
type Gate struct {
	// Name is for the operator, for example "packets lost".
	Name string `json:"name"`
	// Metric is the counter's name; Where keeps those of its series that have all of these labels.
	Metric string            `json:"metric"`
	Where  map[string]string `json:"where,omitempty"`
	// Most is the largest sum of increases that passes.
	Most uint64 `json:"most,omitempty"`
	// Survives: the counter goes on when its process is replaced, as counters in pinned maps do. Others begin at 0.
	Survives bool `json:"survives,omitempty"`
}

// Provision is a contract that the component serves.
type Provision struct {
	// Contract is a protobuf package with its major version, for example "ashlar.rib.v1".
	Contract string `json:"contract"`
	Level    uint32 `json:"level"`
}

// Requirement is a contract that the component calls.
type Requirement struct {
	Contract string `json:"contract"`
	Levels   Levels `json:"levels"`
	// Optional: the component starts and is ready without it. A provider of another level is as good as none.
	Optional bool `json:"optional,omitempty"`
}

// Levels is an inclusive range; Max 0 means no upper end.
type Levels struct {
	Min uint32 `json:"min"`
	Max uint32 `json:"max,omitempty"`
}

// Contains reports whether a level lies in the range.
func (l Levels) Contains(level uint32) bool { return level >= l.Min && (l.Max == 0 || level <= l.Max) }

func (l Levels) String() string {
	if l.Max == 0 {
		return fmt.Sprintf("≥ %d", l.Min)
	}
	return fmt.Sprintf("%d to %d", l.Min, l.Max)
}

// Run is the command line; the command is relative to the component's directory.
type Run struct {
	Command     []string          `json:"command"`
	Environment map[string]string `json:"environment,omitempty"`
}

// Socket is a listening socket that the supervisor holds for the component. It is either unix (a file
// name in the run directory) or tcp (an address).
type Socket struct {
	Name string `json:"name"`
	Unix string `json:"unix,omitempty"`
	// Mode of a unix socket in octal; "0600" when absent.
	Mode string `json:"mode,omitempty"`
	TCP  string `json:"tcp,omitempty"`
}

// FileMode is Mode as a number.
func (s Socket) FileMode() (os.FileMode, error) {
	if s.Mode == "" {
		return 0o600, nil
	}
	n, err := strconv.ParseUint(s.Mode, 8, 9)
	return os.FileMode(n), err
}

// Resources bound the control group; zero means unbounded.
type Resources struct {
	// Memory is a number of bytes with an optional KiB, MiB or GiB.
	Memory    Size   `json:"memory,omitempty"`
	PIDs      uint64 `json:"pids,omitempty"`
	CPUShares uint64 `json:"cpu_shares,omitempty"`
}

// Health says how liveness is judged: Failures calls in a row without an answer in Timeout, one each
// Interval, end the process. Start bounds the time to the first answer.
type Health struct {
	Interval Duration `json:"interval,omitempty"`
	Timeout  Duration `json:"timeout,omitempty"`
	Failures int      `json:"failures,omitempty"`
	Start    Duration `json:"start,omitempty"`
}

// Start orders the first start, beyond what Requires says.
type Start struct {
	After []string `json:"after,omitempty"`
}

// Restart bounds the backoff after a crash.
type Restart struct {
	MinBackoff Duration `json:"min_backoff,omitempty"`
	MaxBackoff Duration `json:"max_backoff,omitempty"`
	// RestForOne names components that are restarted too when this one died.
	RestForOne []string `json:"rest_for_one,omitempty"`
}

// Handover is how a successor takes over.
type Handover string

// The handover modes.
const (
	Takeover Handover = "takeover"
	Transfer Handover = "transfer"
	Replace  Handover = "restart"
	ReExec   Handover = "reexec"
)

// State describes the component's own durable data.
type State struct {
	Epoch uint32 `json:"epoch,omitempty"`
}

// Duration reads as Go writes durations, for example "500ms".
type Duration time.Duration

// UnmarshalJSON reads a duration in quotes.
func (d *Duration) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return fmt.Errorf("duration %s: want text such as \"500ms\"", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("duration %q: want a number with a unit, such as \"500ms\"", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (d Duration) MarshalJSON() ([]byte, error) {
	return []byte(strconv.Quote(time.Duration(d).String())), nil
}

// Size is a number of bytes.
type Size uint64

// UnmarshalJSON reads a number of bytes, or text with KiB, MiB or GiB.
func (s *Size) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), "\"")
	shift := 0
	for suffix, n := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			text, shift = rest, n
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64-shift)
	if err != nil {
		return fmt.Errorf("size %s: want bytes, or a number with KiB, MiB or GiB", b)
	}
	*s = Size(n << shift)
	return nil
}

// Load reads and checks a component.yaml.
func Load(file string) (*Manifest, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	m, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// Parse reads and checks a manifest. Unknown keys are errors.
func Parse(text []byte) (*Manifest, error) {
	m := &Manifest{
		Drain:    Duration(5 * time.Second),
		Handover: Takeover,
		Health:   Health{Interval: Duration(500 * time.Millisecond), Timeout: Duration(2 * time.Second), Failures: 3, Start: Duration(30 * time.Second)},
		Restart:  Restart{MinBackoff: Duration(100 * time.Millisecond), MaxBackoff: Duration(30 * time.Second)},
		State:    State{Epoch: 1},
	}
	if err := yaml.UnmarshalStrict(text, m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest of %q: %w", m.Name, err)
	}
	return m, nil
}

var (
	nameForm     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	versionForm  = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	contractForm = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.v[1-9][0-9]*$`)
	socketForm   = regexp.MustCompile(`^[a-z][a-z0-9.-]{0,40}$`)
)

func (m *Manifest) check() error {
	switch {
	case !nameForm.MatchString(m.Name):
		return fmt.Errorf("name %q: want lower-case letters, digits and \"-\", at most 31", m.Name)
	case !nameForm.MatchString(m.Daemon):
		return fmt.Errorf("daemon %q: want lower-case letters, digits and \"-\", at most 31", m.Daemon)
	case !versionForm.MatchString(m.Version):
		return fmt.Errorf("version %q: want a semantic version such as 1.2.3", m.Version)
	case len(m.Run.Command) == 0 || !localPath(m.Run.Command[0]):
		return fmt.Errorf("run.command: want a path inside the component's directory, such as bin/%s", m.Daemon)
	}
	switch m.Handover {
	case Takeover, Transfer, Replace, ReExec:
	default:
		return fmt.Errorf("handover %q: want takeover, transfer, restart or reexec", m.Handover)
	}
	if err := m.checkContracts(); err != nil {
		return err
	}
	return m.checkSockets()
}

func localPath(p string) bool {
	return p != "" && !strings.HasPrefix(p, "/") && !strings.Contains("/"+p+"/", "/../")
}

func (m *Manifest) checkContracts() error {
	seen := map[string]bool{}
	for _, p := range m.Provides {
		if !contractForm.MatchString(p.Contract) || p.Level == 0 {
			return fmt.Errorf("provides %q level %d: want a protobuf package with a major version and a level of at least 1", p.Contract, p.Level)
		}
		if seen[p.Contract] {
			return fmt.Errorf("provides %q twice", p.Contract)
		}
		seen[p.Contract] = true
	}
	for _, r := range m.Requires {
		if !contractForm.MatchString(r.Contract) || r.Levels.Min == 0 || r.Levels.Max != 0 && r.Levels.Max < r.Levels.Min {
			return fmt.Errorf("requires %q levels %s: want a protobuf package with a major version and a range that begins at 1 or higher", r.Contract, r.Levels)
		}
	}
	return nil
}

func (m *Manifest) checkSockets() error {
	seen := map[string]bool{}
	for _, s := range m.Sockets {
		if seen[s.Name] || s.Name == "" || strings.Contains(s.Name, ":") {
			return fmt.Errorf("socket name %q: want a name of its own without \":\"", s.Name)
		}
		seen[s.Name] = true
		if (s.Unix == "") == (s.TCP == "") {
			return fmt.Errorf("socket %q: want either unix or tcp", s.Name)
		}
		if s.Unix != "" && !socketForm.MatchString(s.Unix) {
			return fmt.Errorf("socket %q: unix %q is no plain file name", s.Name, s.Unix)
		}
		if _, err := s.FileMode(); err != nil {
			return fmt.Errorf("socket %q: mode %q is no octal file mode", s.Name, s.Mode)
		}
	}
	return nil
}

// Socket returns a socket by name.
func (m *Manifest) Socket(name string) (Socket, bool) {
	for _, s := range m.Sockets {
		if s.Name == name {
			return s, true
		}
	}
	return Socket{}, false
}

// Level returns the level at which a contract is provided.
func (m *Manifest) Level(contract string) (uint32, bool) {
	for _, p := range m.Provides {
		if p.Contract == contract {
			return p.Level, true
		}
	}
	return 0, false
}
