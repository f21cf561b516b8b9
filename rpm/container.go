// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
)

// The container of RPM format 3/4: a lead, a header of signatures, the main header, the payload.
// All integers are in network byte order.
const (
	leadSize        = 96
	introSize       = 16
	indexEntrySize  = 16
	maxHeaderTags   = 128
	maxHeaderData   = 4 << 20
	maxSignature    = 16 << 10
	headerMagic     = 0x8eade801
	regionSignature = 62
	regionImmutable = 63
)

// container is what stands before the payload, in memory, with every index entry within bounds.
type container struct {
	head      []byte // all of it, as it stands in the file
	signature *header
	main      *header
	digest    string // SHA-256 of main in hex
}

// header is an index of tags and their data.
type header struct {
	raw  []byte
	tags map[uint32]tagData
}

type tagData struct {
	kind  uint32
	count int
	data  []byte
}

// readContainer reads up to the payload. size is the file's; nothing is allocated beyond it or the limits.
func readContainer(r io.Reader, size int64) (*container, error) {
	var head bytes.Buffer
	r = io.TeeReader(io.LimitReader(r, size), &head)
	lead := make([]byte, leadSize)
	if _, err := io.ReadFull(r, lead); err != nil {
		return nil, truncated("lead", err)
	}
	sig, err := readHeader(r, regionSignature, size)
	if err != nil {
		return nil, fmt.Errorf("signature header: %w", err)
	}
	padding := make([]byte, (8-len(sig.raw)%8)%8)
	if _, err := io.ReadFull(r, padding); err != nil {
		return nil, truncated("signature header", err)
	}
	main, err := readHeader(r, regionImmutable, size)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	sum := sha256.Sum256(main.raw)
	c := &container{head: head.Bytes(), signature: sig, main: main, digest: hex.EncodeToString(sum[:])}
	if slices.ContainsFunc(padding, func(b byte) bool { return b != 0 }) {
		return nil, fmt.Errorf("%w: the padding of the signature header is not zero", ErrDamaged)
	}
	return c, c.check(lead, size)
}

func truncated(what string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: truncated in the %s", ErrDamaged, what)
	}
	return err
}

// readHeader reads one header and checks that its index can be trusted not to point outside.
func readHeader(r io.Reader, region uint32, size int64) (*header, error) {
	intro := make([]byte, introSize)
	if _, err := io.ReadFull(r, intro); err != nil {
		return nil, truncated("header", err)
	}
	if binary.BigEndian.Uint32(intro) != headerMagic || binary.BigEndian.Uint32(intro[4:]) != 0 {
		return nil, fmt.Errorf("%w: no RPM header here", ErrDamaged)
	}
	tags, data := int64(binary.BigEndian.Uint32(intro[8:])), int64(binary.BigEndian.Uint32(intro[12:]))
	if tags == 0 || tags > maxHeaderTags || data == 0 || data > maxHeaderData {
		return nil, fmt.Errorf("%w: %d tags with %d bytes, want at most %d with %d", ErrDamaged, tags, data, maxHeaderTags, maxHeaderData)
	}
	length := tags*indexEntrySize + data
	if length > size {
		return nil, fmt.Errorf("%w: truncated in the header", ErrDamaged)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, truncated("header", err)
	}
	h := &header{raw: append(intro, body...), tags: map[uint32]tagData{}}
	if err := h.parse(body[:tags*indexEntrySize], body[tags*indexEntrySize:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return h, h.checkRegion(region, int(tags))
}

func (h *header) parse(index, data []byte) error {
	for ; len(index) > 0; index = index[indexEntrySize:] {
		tag := binary.BigEndian.Uint32(index)
		kind := binary.BigEndian.Uint32(index[4:])
		offset, count := binary.BigEndian.Uint32(index[8:]), binary.BigEndian.Uint32(index[12:])
		if _, twice := h.tags[tag]; twice {
			return fmt.Errorf("tag %d stands there twice", tag)
		}
		if int64(offset) > int64(len(data)) || count == 0 || int64(count) > int64(len(data)) {
			return fmt.Errorf("tag %d points outside of the header", tag)
		}
		n, err := span(data[offset:], kind, int(count), int(offset))
		if err != nil {
			return fmt.Errorf("tag %d: %w", tag, err)
		}
		h.tags[tag] = tagData{kind: kind, count: int(count), data: data[offset : int(offset)+n]}
	}
	return nil
}

// span returns the bytes that count values of a kind take at the beginning of data.
func span(data []byte, kind uint32, count, offset int) (int, error) {
	width := map[uint32]int{kindInt16: 2, kindInt32: 4, kindInt64: 8, kindBinary: 1}[kind]
	switch kind {
	case kindInt16, kindInt32, kindInt64, kindBinary:
		if offset%width != 0 || count*width > len(data) {
			return 0, fmt.Errorf("%d values do not fit", count)
		}
		return count * width, nil
	case kindString, kindStrings, kindI18N:
		if kind == kindString && count != 1 {
			return 0, fmt.Errorf("%d values of a kind that has one", count)
		}
		n := 0
		for range count {
			end := bytes.IndexByte(data[n:], 0)
			if end < 0 {
				return 0, fmt.Errorf("text without an end")
			}
			n += end + 1
		}
		return n, nil
	}
	return 0, fmt.Errorf("unknown kind %d", kind)
}

// checkRegion refuses a header of which a part lies outside of the region that digest and signature are for:
// the first tag must be the region's, and its trailer the last data.
func (h *header) checkRegion(region uint32, tags int) error {
	t, ok := h.tags[region]
	want := make([]byte, indexEntrySize)
	binary.BigEndian.PutUint32(want, region)
	binary.BigEndian.PutUint32(want[4:], kindBinary)
	binary.BigEndian.PutUint32(want[8:], uint32(-int32(tags*indexEntrySize)))
	binary.BigEndian.PutUint32(want[12:], indexEntrySize)
	first := binary.BigEndian.Uint32(h.raw[introSize:])
	if !ok || first != region || t.kind != kindBinary || !bytes.Equal(t.data, want) || !bytes.HasSuffix(h.raw, want) {
		return fmt.Errorf("%w: the header's region does not cover all of it", ErrDamaged)
	}
	return nil
}

// headerSignatures returns the signatures over the main header.
func (c *container) headerSignatures() [][]byte {
	var out [][]byte
	for _, tag := range []uint32{sigTagRSA, sigTagDSA} {
		if t, ok := c.signature.tags[tag]; ok {
			out = append(out, t.data)
		}
	}
	return out
}

// check compares what can be compared before a signature is looked at.
func (c *container) check(lead []byte, size int64) error {
	if err := checkLead(lead); err != nil {
		return err
	}
	for tag, t := range c.signature.tags {
		kind, known := signatureTags()[tag]
		if !known || t.kind != kind || len(t.data) > maxSignature && tag != sigTagReserved {
			return fmt.Errorf("%w: the signature header has tag %d of kind %d with %d bytes, which does not belong there", ErrDamaged, tag, t.kind, len(t.data))
		}
	}
	if recorded := c.signature.text(sigTagSHA256); recorded != c.digest {
		return fmt.Errorf("%w: the header was changed: its SHA-256 is %s, recorded %q", ErrDamaged, c.digest, recorded)
	}
	after := size - int64(len(c.head)) + int64(len(c.main.raw))
	if n := c.signature.numbers(sigTagSize); n != nil && (len(n) != 1 || int64(n[0]) != after) {
		return fmt.Errorf("%w: header and payload have %d bytes, recorded %d: truncated, or something was added", ErrDamaged, after, n)
	}
	return nil
}

// checkLead: the lead is under no signature, and means nothing to any rpm of this century but for its magic.
func checkLead(lead []byte) error {
	if binary.BigEndian.Uint32(lead) != 0xedabeedb {
		return fmt.Errorf("%w: not an RPM", ErrDamaged)
	}
	if lead[4] != 3 || lead[6] != 0 || lead[7] != 0 || lead[78] != 0 || lead[79] != 5 {
		return fmt.Errorf("%w: not a binary RPM with signatures in a header", ErrForbidden)
	}
	return nil
}
