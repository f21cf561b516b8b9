// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ashlar-nos/ashlar/lab/process"
)

// record is what a lab must know to end exactly what it started, even if it was itself killed. It is on
// disk before anything it names is made: what is not there yet is no error to remove. Names of
// namespaces and links follow from the identity.
type record struct {
	Identity   string     `json:"identity"`
	Home       string     `json:"home"`
	Generation string     `json:"generation"`
	Supervisor process.ID `json:"supervisor"`
}

func (p place) write(r record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return replace(p.record(), append(text, '\n'), 0o644)
}

// read returns fs.ErrNotExist when there is no such lab.
func (p place) read() (record, error) {
	text, err := os.ReadFile(p.record())
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, fmt.Errorf("%s: %w", p.record(), err)
	}
	return r, nil
}

// replace writes a file in one step.
func replace(path string, text []byte, mode fs.FileMode) error {
	next, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return err
	}
	_, err = next.Write(text)
	err = errors.Join(err, next.Chmod(mode), next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}
