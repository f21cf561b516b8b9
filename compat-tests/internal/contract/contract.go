// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package contract reads contract files: what a consumer relies on of a provider, interaction by interaction. A
// file that is read has been held against the declarations: its methods and messages exist. Values are not
// changed after Parse.
package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"sigs.k8s.io/yaml"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

// File is one contract file.
type File struct {
	// Consumer is a component's name, Contract a protobuf package, Level the least that the consumer works with.
	Consumer string `json:"consumer"`
	Contract string `json:"contract"`
	Level    uint32 `json:"level"`
	// Descriptor is the SHA-256 of the declarations that the consumer was built with, source information pruned, in hex.
	Descriptor   string        `json:"descriptor"`
	Interactions []Interaction `json:"interactions"`

	// Hash is the SHA-256 of the file in hex: H, by which results are known.
	Hash string `json:"-"`
}

// Interaction is one thing that the consumer relies on. Either Request and what is expected of the answer are given, for a
// unary call, or Steps, for a stream.
type Interaction struct {
	Name string `json:"name"`
	// Method is Service/Method of the contract.
	Method string `json:"method"`
	// Given are calls that bring the provider into the state that the interaction begins with.
	Given []Call `json:"given,omitempty"`
	Answer
	// Request is a message in protobuf's JSON form.
	Request any `json:"request,omitempty"`
	// Repeat is how often the call is made; each answer must be as expected, so that trying again is safe.
	Repeat int    `json:"repeat,omitempty"`
	Steps  []Step `json:"steps,omitempty"`
	// Deadline bounds the interaction; 3 s when absent.
	Deadline manifest.Duration `json:"deadline,omitempty"`
	// Then are calls that put the provider back; they are made whatever came of the interaction.
	Then []Call `json:"then,omitempty"`
	// Last: the provider is not the same afterwards, so this comes after everything else.
	Last bool `json:"last,omitempty"`
	// Level is the provider's from which on this is relied on, 0 for any that the file accepts.
	Level uint32 `json:"level,omitempty"`
}

// Answer is what a call is expected to come to.
type Answer struct {
	// Response is matched as package match says.
	Response any `json:"response,omitempty"`
	// Code is a gRPC code such as NOT_FOUND; OK when absent. Says must occur in the error's text.
	Code string `json:"code,omitempty"`
	Says string `json:"says,omitempty"`
}

// Want is Code as a code.
func (a Answer) Want() codes.Code {
	if a.Code == "" {
		return codes.OK
	}
	c, err := codeOf(a.Code)
	if err != nil {
		return codes.Unknown
	}
	return c
}

func codeOf(name string) (c codes.Code, err error) {
	if err := c.UnmarshalJSON([]byte(strconv.Quote(name))); err != nil {
		return c, fmt.Errorf("code %q: want a gRPC code such as NOT_FOUND", name)
	}
	return c, nil
}

// Call is a unary call beside the interaction, to any socket of the device.
type Call struct {
	// Socket is a file name in the run directory, for example gnmi.sock; empty means the provider's own.
	Socket string `json:"socket,omitempty"`
	// Method is the full name, package.Service/Method.
	Method  string `json:"method"`
	Request any    `json:"request,omitempty"`
	Answer
}

// Step is one act on a stream; exactly one of its fields is set. Where a method takes one request, send closes the sending
// side as well.
type Step struct {
	Send any `json:"send,omitempty"`
	// Receive waits for a message that matches and passes over those that do not.
	Receive any `json:"receive,omitempty"`
	// Call makes a call and judges it. Start makes one and goes on; Finish waits for it and judges it.
	Call   *Call `json:"call,omitempty"`
	Start  *Call `json:"start,omitempty"`
	Finish bool  `json:"finish,omitempty"`
	// Close ends the sending side.
	Close bool `json:"close,omitempty"`
	// End waits until the provider ends the stream, and judges how.
	End *Answer `json:"end,omitempty"`
}

// DefaultDeadline bounds an interaction that names none.
const DefaultDeadline = 3 * time.Second

// Limit is the interaction's deadline.
func (i Interaction) Limit() time.Duration {
	if i.Deadline > 0 {
		return time.Duration(i.Deadline)
	}
	return DefaultDeadline
}

// Load reads a file.
func Load(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("contract file: %w", err)
	}
	f, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Parse reads a contract file and checks it. Unknown keys are errors.
func Parse(text []byte) (*File, error) {
	f := &File{}
	if err := yaml.UnmarshalStrict(text, f); err != nil {
		return nil, fmt.Errorf("no contract file: %w", err)
	}
	sum := sha256.Sum256(text)
	f.Hash = hex.EncodeToString(sum[:])
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// Methods are the full names of the methods that the file has an interaction of.
func (f *File) Methods() []string {
	seen := map[string]bool{}
	for _, i := range f.Interactions {
		seen[f.FullMethod(i)] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (f *File) check() error {
	switch {
	case f.Consumer == "" || f.Contract == "" || f.Level == 0:
		return fmt.Errorf("consumer %q, contract %q, level %d: want all three", f.Consumer, f.Contract, f.Level)
	case !digestForm.MatchString(f.Descriptor):
		return fmt.Errorf("descriptor %q: want the SHA-256 of the declarations, 64 hex digits", f.Descriptor)
	case len(f.Interactions) == 0:
		return fmt.Errorf("there is no interaction: a consumer that relies on nothing requires nothing")
	}
	names := map[string]bool{}
	for _, i := range f.Interactions {
		if i.Name == "" || names[i.Name] {
			return fmt.Errorf("interaction %q: want a name of its own", i.Name)
		}
		names[i.Name] = true
		if err := f.checkInteraction(i); err != nil {
			return fmt.Errorf("interaction %q: %w", i.Name, err)
		}
	}
	return nil
}
