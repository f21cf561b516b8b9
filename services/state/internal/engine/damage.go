// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
)

// ErrDamaged is in the error's chain when a file of the store cannot be read.
var ErrDamaged = errors.New("is damaged")

const remedy = "keep a copy of it, then restore the directory from a backup; or move the directory away to start with an empty store (the configuration must be loaded again). Forwarding goes on meanwhile"

func damaged(file, dir string, cause error) error {
	return fmt.Errorf("%s %w (%v): stop the component, go to %s, %s", file, ErrDamaged, cause, dir, remedy)
}

// inspect looks at the database file before etcd does, because etcd ends the process on a bad one and
// waits for ever on a locked one.
func inspect(data string) error {
	file := filepath.Join(data, "member", "snap", "db")
	info, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, Timeout: 200 * time.Millisecond, PreLoadFreelist: false})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s: %w: end that process, or give this device a root of its own", file, ErrLocked)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("database: %w", err)
	case err != nil:
		return damaged(file, data, err)
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return damaged(file, data, fmt.Errorf("it has %d bytes and should have %d", info.Size(), tx.Size()))
		}
		return nil
	})
}

// diagnose says which file is to blame for etcd's refusal to start.
func diagnose(data string, cause error) error {
	segments, _ := filepath.Glob(filepath.Join(data, "member", "wal", "*.wal"))
	if file, err := brokenSegment(segments); err != nil {
		return damaged(file, data, err)
	}
	if strings.Contains(cause.Error(), "WAL") {
		return damaged(filepath.Join(data, "member", "wal"), data, cause)
	}
	return fmt.Errorf("etcd does not start in %s: %w", data, cause)
}

// brokenSegment reads log segments in order and returns the first that breaks the chain of checksums.
// A torn end of the last segment is no damage: etcd repairs it.
func brokenSegment(segments []string) (string, error) {
	var crc uint32
	for i, name := range segments {
		next, err := readSegment(name, crc, i == 0)
		torn := errors.Is(err, io.ErrUnexpectedEOF) && i == len(segments)-1
		if err != nil && !torn {
			return name, err
		}
		crc = next
	}
	return "", nil
}

func readSegment(name string, crc uint32, first bool) (uint32, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	decoder := wal.NewDecoder(fileutil.NewFileReader(f))
	decoder.UpdateCRC(crc)
	var record walpb.Record
	for {
		err := decoder.Decode(&record)
		if errors.Is(err, io.EOF) {
			return decoder.LastCRC(), nil
		}
		if err != nil {
			return 0, err
		}
		if record.GetType() != wal.CrcType {
			continue
		}
		if !first && decoder.LastCRC() != record.GetCrc() {
			return 0, fmt.Errorf("its checksum does not follow the segment before it")
		}
		decoder.UpdateCRC(record.GetCrc())
	}
}
