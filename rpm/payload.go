// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// The payload is a cpio archive in "newc" form (cpio(5)): a header of 110 characters, the name with a zero,
// padding to 4 bytes, the content, padding; at the end an entry TRAILER!!!.
const (
	cpioHeaderSize = 110
	cpioMagic      = "070701"
	cpioTrailer    = "TRAILER!!!"
	maxTail        = 512 // zeros after the trailer
	maxWindow      = 32 << 20
)

// visit is called for each entry, in the header's order. It may leave a part of body unread.
type visit func(e entry, body io.Reader) error

// walk decompresses the payload and calls fn for each file. It returns nil only when the archive holds exactly the
// files of the header with the recorded content and the compressed bytes have the recorded SHA-256. What
// fn has seen until then is not verified.
func (p *Package) walk(compressed io.Reader, fn visit) error {
	sum := sha256.New()
	in := io.TeeReader(compressed, sum)
	archive, done, err := decompress(in, p.compressor)
	if err != nil {
		return err
	}
	defer done()
	bounded := &boundedReader{r: archive, left: archiveSize(p.files) + maxTail}
	for _, e := range p.files {
		if err := readEntry(bounded, e, fn); err != nil {
			return err
		}
	}
	if err := readTrailer(bounded); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.payload {
		return fmt.Errorf("%w: the payload was changed: its SHA-256 is %s, recorded %s", ErrDamaged, got, p.payload)
	}
	return nil
}

func decompress(r io.Reader, compressor string) (io.Reader, func(), error) {
	switch compressor {
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: payload: %w", ErrDamaged, err)
		}
		return d, d.Close, nil
	case "gzip":
		d, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: payload: %w", ErrDamaged, err)
		}
		return d, func() {}, nil
	}
	return nil, nil, fmt.Errorf("%w: payload compressed by %q, want zstd or gzip", ErrForbidden, compressor)
}

// archiveSize is the most that an archive of the files takes.
func archiveSize(files []entry) int64 {
	size := align(cpioHeaderSize + int64(len(cpioTrailer)) + 1)
	for _, e := range files {
		size += align(cpioHeaderSize+int64(len(e.path))+2) + align(e.size)
	}
	return size
}

func align(n int64) int64 { return (n + 3) &^ 3 }

var errBomb = errors.New("the payload unpacks to more than the header's files")

// boundedReader ends with an error where the header's files are over: a bomb is not unpacked to see how big it is.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// The archive may end exactly here.
		n, err := b.r.Read(make([]byte, 1))
		if n > 0 {
			return 0, fmt.Errorf("%w: %w", ErrForbidden, errBomb)
		}
		return 0, err
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// payloadError says that an archive is damaged, unless it is something else that went wrong.
func payloadError(err error) error {
	if err == nil || errors.Is(err, ErrForbidden) || errors.Is(err, ErrDamaged) {
		return err
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: the payload ends too early", ErrDamaged)
	}
	return fmt.Errorf("%w: payload: %w", ErrDamaged, err)
}

// readEntry reads one file, which must be the one that the header lists at this place.
func readEntry(r io.Reader, want entry, fn visit) error {
	name, mode, size, err := readCPIOHeader(r)
	if err != nil {
		return payloadError(err)
	}
	if strings.TrimPrefix(name, ".") != want.path || mode != want.mode || size != want.size {
		return fmt.Errorf("%w: the payload has %q (mode %06o, %d bytes) where the header has %q (mode %06o, %d bytes)",
			ErrForbidden, name, mode, size, want.path, want.mode, want.size)
	}
	sum := sha256.New()
	body := io.TeeReader(&exactReader{r, size}, sum)
	if err := fn(want, body); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return payloadError(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); !want.dir() && got != want.digest {
		return fmt.Errorf("%w: %s was changed: its SHA-256 is %s, recorded %q", ErrDamaged, want.path, got, want.digest)
	}
	return payloadError(skip(r, align(size)-size))
}

// exactReader ends after left bytes; an end before is an error.
type exactReader struct {
	r    io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	if e.left -= int64(n); err == io.EOF && e.left > 0 {
		err = payloadError(io.ErrUnexpectedEOF)
	}
	return n, err
}

func readCPIOHeader(r io.Reader) (name string, mode uint32, size int64, err error) {
	var b [cpioHeaderSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return "", 0, 0, err
	}
	if string(b[:6]) != cpioMagic {
		return "", 0, 0, errors.New("no entry of a cpio archive here")
	}
	var fields [13]uint64
	for i := range fields {
		if fields[i], err = strconv.ParseUint(string(b[6+8*i:14+8*i]), 16, 32); err != nil {
			return "", 0, 0, err
		}
	}
	length := int64(fields[11])
	if length < 2 || length > maxPathLength+2 {
		return "", 0, 0, fmt.Errorf("a name of %d bytes", length)
	}
	text := make([]byte, align(cpioHeaderSize+length)-cpioHeaderSize)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", 0, 0, err
	}
	name, _, _ = strings.Cut(string(text[:length]), "\x00")
	return name, uint32(fields[1]), int64(fields[6]), nil
}

// readTrailer reads the archive's end; nothing but zeros may follow.
func readTrailer(r io.Reader) error {
	name, _, size, err := readCPIOHeader(r)
	if err != nil {
		return payloadError(err)
	}
	if name != cpioTrailer || size != 0 {
		return fmt.Errorf("%w: the payload has %q, which the header does not list", ErrForbidden, name)
	}
	tail, err := io.ReadAll(r)
	if err != nil {
		return payloadError(err)
	}
	if len(bytes.Trim(tail, "\x00")) != 0 {
		return fmt.Errorf("%w: something follows the payload's last file", ErrForbidden)
	}
	return nil
}

func skip(r io.Reader, n int64) error {
	_, err := io.CopyN(io.Discard, r, n)
	return err
}
