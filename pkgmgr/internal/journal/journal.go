// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package journal is a file of records that are on the disk before what they speak of is done. Each record carries
// its length, a checksum and the hash of the record before it, so that what was written can be told from what was
// torn, and from what was damaged later:
//
//	"ashlar-journal/1\n"  { length u32, crc32c u32, previous [32]byte, crc32c-head u32, payload [length]byte }*
//
// in little-endian order. previous is the SHA-256 of the payload before and its own previous; zero for the first. The
// first checksum covers the payload, the second the 40 bytes before it.
//
// A last record that is not whole was torn by a crash, and its effect has not begun: it is cut off. Anything else
// that does not fit is damage. A Journal is used by one goroutine at a time.
package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	family = "ashlar-journal/"
	magic  = family + "1\n"
	// MaxPayload bounds one record in bytes.
	MaxPayload = 1 << 20
	headSize   = 4 + 4 + sha256.Size + 4
)

var (
	// ErrDamaged: what the journal says cannot be trusted.
	ErrDamaged = errors.New("the journal is damaged")
	// ErrNewer: a later version of the package manager wrote it.
	ErrNewer = errors.New("the journal is of a newer package manager")
)

var table = crc32.MakeTable(crc32.Castagnoli)

// Journal is an open journal.
type Journal struct {
	path string
	file *os.File
	size int64
	last [sha256.Size]byte
}

// Read returns the payloads of a journal without changing it; one that does not exist has none. With ErrDamaged
// come the records before the damage.
func Read(path string) ([][]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	payloads, _, _, err := parse(text)
	if err != nil {
		return payloads, fmt.Errorf("%s: %w", path, err)
	}
	return payloads, nil
}

// Open reads a journal, cuts off a torn tail, and is ready to append. One that does not exist is made.
func Open(path string) (*Journal, [][]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		j, err := Replace(path, nil)
		return j, nil, err
	}
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	payloads, size, last, err := parse(text)
	if err != nil {
		return nil, payloads, fmt.Errorf("%s: %w", path, err)
	}
	if size == 0 { // not even the first line was written
		j, err := Replace(path, nil)
		return j, nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{path: path, file: f, size: size, last: last}
	if err := j.cut(); err != nil {
		f.Close()
		return nil, nil, err
	}
	return j, payloads, nil
}

// cut ends the file after its last whole record.
func (j *Journal) cut() error {
	if err := j.file.Truncate(j.size); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err := j.file.Seek(j.size, io.SeekStart); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Replace makes a new journal of these records in place of one that is there.
func Replace(path string, payloads [][]byte) (*Journal, error) {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{path: path, file: f, size: int64(len(magic))}
	text := []byte(magic)
	for _, p := range payloads {
		text = append(text, j.frame(p)...)
		j.advance(p)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("journal: %w", err)
	}
	return j, nil
}

// Append writes a record. When it returns nil, the record is on the disk; when it fails, it is not in the journal.
func (j *Journal) Append(payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("journal: a record of %d bytes, at most %d", len(payload), MaxPayload)
	}
	_, err := j.file.Write(j.frame(payload))
	if err == nil {
		err = unix.Fdatasync(int(j.file.Fd()))
	}
	if err != nil {
		if e := j.cut(); e != nil {
			err = errors.Join(err, e)
		}
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	j.advance(payload)
	return nil
}

// Size is how long the journal is, in bytes.
func (j *Journal) Size() int64 { return j.size }

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

func (j *Journal) frame(payload []byte) []byte {
	b := make([]byte, headSize, headSize+len(payload))
	binary.LittleEndian.PutUint32(b, uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(payload, table))
	copy(b[8:], j.last[:])
	binary.LittleEndian.PutUint32(b[headSize-4:], crc32.Checksum(b[:headSize-4], table))
	return append(b, payload...)
}

func (j *Journal) advance(payload []byte) {
	j.last = chain(j.last, payload)
	j.size += headSize + int64(len(payload))
}

func chain(previous [sha256.Size]byte, payload []byte) [sha256.Size]byte {
	return sha256.Sum256(append(previous[:], payload...))
}

// parse returns the records, the length of the journal up to the last whole one, and its hash.
func parse(text []byte) (payloads [][]byte, size int64, last [sha256.Size]byte, err error) {
	if len(text) < len(magic) && strings.HasPrefix(magic, string(text)) {
		return nil, 0, last, nil
	}
	if !bytes.HasPrefix(text, []byte(magic)) {
		if line, _, ok := bytes.Cut(text, []byte("\n")); ok && bytes.HasPrefix(line, []byte(family)) && len(line) < 40 {
			return nil, 0, last, fmt.Errorf("%w: it begins with %q, this one writes %q", ErrNewer, line, magic[:len(magic)-1])
		}
		return nil, 0, last, fmt.Errorf("%w: it does not begin with %q", ErrDamaged, magic)
	}
	at := len(magic)
	for at < len(text) {
		payload, whole, err := record(text[at:], last)
		if err != nil {
			return payloads, int64(at), last, fmt.Errorf("%w at byte %d: %w", ErrDamaged, at, err)
		}
		if !whole {
			break
		}
		payloads = append(payloads, payload)
		last = chain(last, payload)
		at += headSize + len(payload)
	}
	return payloads, int64(at), last, nil
}

// record reads the first record of a text. It is not whole when the text ends within it, or when it is the last one
// and its bytes did not all get to the disk.
func record(text []byte, last [sha256.Size]byte) (payload []byte, whole bool, err error) {
	if !hasHead(text) {
		return nil, false, unlessLast(text, "its head is changed")
	}
	n := int(binary.LittleEndian.Uint32(text))
	if !bytes.Equal(text[8:8+sha256.Size], last[:]) {
		return nil, false, errors.New("the record does not follow the one before it")
	}
	if n > len(text)-headSize {
		return nil, false, unlessLast(text, "its end is missing")
	}
	payload = text[headSize : headSize+n]
	if binary.LittleEndian.Uint32(text[4:]) != crc32.Checksum(payload, table) {
		return nil, false, unlessLast(text, "its content is changed")
	}
	return payload, true, nil
}

// hasHead reports whether a text begins with a record's head.
func hasHead(text []byte) bool {
	return len(text) >= headSize && binary.LittleEndian.Uint32(text[headSize-4:]) == crc32.Checksum(text[:headSize-4], table) &&
		binary.LittleEndian.Uint32(text) <= MaxPayload
}

// unlessLast tells damage from a torn tail: behind a torn record nothing was ever written.
func unlessLast(text []byte, what string) error {
	for i := 1; i <= len(text)-headSize; i++ {
		if hasHead(text[i:]) {
			return fmt.Errorf("%s and more records follow", what)
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
