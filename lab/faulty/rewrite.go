// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

const (
	// beyond is added to a level that then nobody provides.
	beyond = 98
	// leakLimit is small, so that a leak comes to its end soon.
	leakLimit = "192MiB"
)

// rewrite returns the manifest of a faulty version: as its program has it inside, and as it lies in the package.
func (c component) rewrite(spec Spec) (inside, outside []byte, err error) {
	var m map[string]any
	if err := yaml.Unmarshal(c.text, &m); err != nil {
		return nil, nil, err
	}
	m["version"] = spec.Version
	m["summary"] = fmt.Sprintf("%s (faulty: %s)", c.Summary, spec.Kind)
	c.run(m, spec)
	switch spec.Kind {
	case Leak:
		m["resources"] = map[string]any{"memory": leakLimit, "pids": 512}
	case UnmetContract:
		if err := raiseRequirement(m); err != nil {
			return nil, nil, err
		}
	}
	if inside, err = encode(m); err != nil {
		return nil, nil, err
	}
	if spec.Kind == Drift {
		if err := raiseLevel(m); err != nil {
			return nil, nil, err
		}
	}
	outside, err = encode(m)
	return inside, outside, err
}

// run puts the shim's orders into the command line; what the component's own line says follows.
func (c component) run(m map[string]any, spec Spec) {
	if !shimmed(spec.Kind) && spec.Kind != CrashAtStart && spec.Kind != Hang {
		return
	}
	command := []string{c.Run.Command[0], "--fault=" + string(spec.Kind), "--fault-after=" + spec.After.String()}
	if c.Name == "supervisor" { // nobody activates it
		command = append(command, "--fault-from=start")
	}
	run, _ := m["run"].(map[string]any)
	run["command"] = append(command, c.Run.Command[1:]...)
}

// encode writes a manifest and makes sure that it is one.
func encode(m map[string]any) ([]byte, error) {
	text, err := yaml.Marshal(m)
	if err != nil {
		return nil, err
	}
	text = append([]byte("# Copyright The Ashlar Authors\n# SPDX-License-Identifier: Apache-2.0\n"), text...)
	_, err = manifest.Parse(text)
	return text, err
}

// raiseRequirement makes the first contract that must be there one at a level that nobody provides.
func raiseRequirement(m map[string]any) error {
	list, _ := m["requires"].([]any)
	for _, r := range list {
		requirement, _ := r.(map[string]any)
		levels, _ := requirement["levels"].(map[string]any)
		if lowest, ok := levels["min"].(float64); ok && requirement["optional"] != true {
			requirement["levels"] = map[string]any{"min": lowest + beyond}
			return nil
		}
	}
	return errors.New("the component requires no contract")
}

// everybodys reports whether a contract is one that all components serve.
func everybodys(contract any) bool {
	return contract == "ashlar.lifecycle.v1" || contract == "ashlar.telemetry.v1"
}

// raiseLevel promises one level more of a contract, of the component's own rather than of everybody's.
func raiseLevel(m map[string]any) error {
	list, _ := m["provides"].([]any)
	for _, skip := range []func(any) bool{everybodys, func(any) bool { return false }} {
		for _, p := range list {
			provision, _ := p.(map[string]any)
			if level, ok := provision["level"].(float64); ok && !skip(provision["contract"]) {
				provision["level"] = level + 1
				return nil
			}
		}
	}
	return errors.New("the component provides no contract")
}
