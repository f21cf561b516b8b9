// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
)

// spoil writes a package's file as its kind has it.
func spoil(kind Kind, from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	switch kind {
	case Tampered:
		content[len(content)-len(content)/4] ^= 1
	case TamperedHeader:
		h, err := headerAt(content, leadSize)
		if err != nil {
			return err
		}
		content[h.padded()+headerIntro+1] ^= 1
	case Truncated:
		content = content[:len(content)/2]
	case Unsigned:
		if content, err = withoutSignatures(content); err != nil {
			return err
		}
	}
	tmp := to + ".new"
	if err := os.WriteFile(tmp, content, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, to)
}

// An RPM is a lead, a header of signatures padded to 8 bytes, the main header, the payload. A header has an intro that ends
// with the number of its index entries and of its data's bytes; all is in network byte order.
const (
	leadSize    = 96
	headerIntro = 16
	indexEntry  = 16
	headerMagic = 0x8eade801
	// The signatures among the tags of the first header (DSA, RSA, PGP, GPG), and the tag whose data ends the region.
	tagDSA, tagRSA, tagPGP, tagGPG = 267, 268, 1002, 1005
	tagRegion                      = 62
)

// header is where one lies in a file.
type header struct{ start, entries, data int }

func headerAt(content []byte, start int) (header, error) {
	if len(content) < start+headerIntro || binary.BigEndian.Uint32(content[start:]) != headerMagic {
		return header{}, errors.New("no RPM header there")
	}
	h := header{start, int(binary.BigEndian.Uint32(content[start+8:])), int(binary.BigEndian.Uint32(content[start+12:]))}
	if h.end() > len(content) {
		return header{}, fmt.Errorf("a header of %d entries and %d bytes does not fit", h.entries, h.data)
	}
	return h, nil
}

func (h header) end() int { return h.start + headerIntro + h.entries*indexEntry + h.data }

// padded is where the next header begins.
func (h header) padded() int { return h.start + (h.end()-h.start+7)/8*8 }

// withoutSignatures takes the signatures' entries out of the first header, and leaves their data behind, meaning nothing.
func withoutSignatures(content []byte) ([]byte, error) {
	h, err := headerAt(content, leadSize)
	if err != nil {
		return nil, err
	}
	var kept []byte
	index := content[h.start+headerIntro:][:h.entries*indexEntry]
	for entry := range slices.Chunk(index, indexEntry) {
		if !slices.Contains([]uint32{tagDSA, tagRSA, tagPGP, tagGPG}, binary.BigEndian.Uint32(entry)) {
			kept = append(kept, entry...)
		}
	}
	data := slices.Clone(content[h.start+headerIntro+len(index) : h.end()])
	if binary.BigEndian.Uint32(kept) != tagRegion {
		return nil, errors.New("the first header has no region")
	}
	// The region's trailer says where the index begins, counted backwards.
	trailer := data[binary.BigEndian.Uint32(kept[8:]):]
	binary.BigEndian.PutUint32(trailer[8:], uint32(-int32(len(kept))))
	out := slices.Clone(content[:h.start+headerIntro])
	binary.BigEndian.PutUint32(out[h.start+8:], uint32(len(kept)/indexEntry))
	out = slices.Concat(out, kept, data)
	for (len(out)-h.start)%8 != 0 {
		out = append(out, 0)
	}
	return append(out, content[h.padded():]...), nil
}
