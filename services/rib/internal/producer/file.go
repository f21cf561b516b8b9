// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package producer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// load reads component by producer; a file that does not exist is an empty one. A damaged file is an
// error to see, not to hide: without it routes could be swept too early.
func load(file string) (map[string]string, error) {
	all := map[string]string{}
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return all, nil
	case err != nil:
		return nil, fmt.Errorf("producers: %w", err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("producers: %s: %w (delete the file to go on: routes of producers that have not come back would then be swept)", file, err)
	}
	return all, nil
}

// store replaces the file in one step, durably.
func store(file string, all map[string]string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("producers: %w", err)
		}
	}()
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".producers-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	return err
}
