// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kinds of data in a header.
const (
	kindInt16   = 3
	kindInt32   = 4
	kindInt64   = 5
	kindString  = 6
	kindBinary  = 7
	kindStrings = 8
	kindI18N    = 9
)

const hashSHA256 = 8 // as OpenPGP numbers it (RFC 4880 section 9.4)

// Tags of the signature header (rpm's lib/rpmtag.h).
const (
	sigTagDSA      = 267 // over the header; EdDSA too
	sigTagRSA      = 268
	sigTagSHA1     = 269
	sigTagSHA256   = 273
	sigTagSize     = 1000
	sigTagPGP      = 1002 // over header and payload
	sigTagMD5      = 1004
	sigTagGPG      = 1005
	sigTagPayload  = 1007
	sigTagReserved = 1008
)

// Tags of the main header.
const (
	tagName              = 1000
	tagVersion           = 1001
	tagRelease           = 1002
	tagSummary           = 1004
	tagOS                = 1021
	tagArch              = 1022
	tagFileSizes         = 1028
	tagFileModes         = 1030
	tagFileDigests       = 1035
	tagFileLinkTos       = 1036
	tagFileFlags         = 1037
	tagFileUserName      = 1039
	tagFileGroupName     = 1040
	tagProvides          = 1047
	tagRequireFlags      = 1048
	tagRequires          = 1049
	tagRequireVersion    = 1050
	tagProvideFlags      = 1112
	tagProvideVersion    = 1113
	tagDirIndexes        = 1116
	tagBaseNames         = 1117
	tagDirNames          = 1118
	tagPayloadFormat     = 1124
	tagPayloadCompressor = 1125
	tagFileDigestAlgo    = 5011
	tagRecommends        = 5046
	tagRecommendVersion  = 5047
	tagRecommendFlags    = 5048
	tagPayloadDigest     = 5092
	tagPayloadDigestAlgo = 5093
)

// signatureTags are those that rpmpack and rpmsign write, with their kinds.
func signatureTags() map[uint32]uint32 {
	return map[uint32]uint32{
		regionSignature: kindBinary, sigTagDSA: kindBinary, sigTagRSA: kindBinary, sigTagSHA1: kindString,
		sigTagSHA256: kindString, sigTagSize: kindInt32, sigTagPGP: kindBinary, sigTagMD5: kindBinary,
		sigTagGPG: kindBinary, sigTagPayload: kindInt32, sigTagReserved: kindBinary,
	}
}

// mainTags are those that Build writes. Everything else is refused: what is not known here is not wanted.
func mainTags() map[uint32]uint32 {
	return map[uint32]uint32{
		regionImmutable: kindBinary,
		100:             kindString, // locales
		tagName:         kindString, tagVersion: kindString, tagRelease: kindString, tagSummary: kindString,
		1005: kindString, 1006: kindInt32, 1007: kindString, 1009: kindInt32, // description, build time and host, size
		1011: kindString, 1014: kindString, tagOS: kindString, tagArch: kindString, // vendor, licence
		tagFileSizes: kindInt32, tagFileModes: kindInt16,
		1033: kindInt16, 1034: kindInt32, // device numbers, times
		tagFileDigests: kindStrings, tagFileLinkTos: kindStrings, tagFileFlags: kindInt32,
		tagFileUserName: kindStrings, tagFileGroupName: kindStrings,
		1044: kindString, 1045: kindInt32, // source package, verify flags
		tagProvides: kindStrings, tagProvideFlags: kindInt32, tagProvideVersion: kindStrings,
		tagRequires: kindStrings, tagRequireFlags: kindInt32, tagRequireVersion: kindStrings,
		tagRecommends: kindStrings, tagRecommendFlags: kindInt32, tagRecommendVersion: kindStrings,
		1095: kindInt32, 1096: kindInt32, 1097: kindStrings, // devices, inodes, languages
		tagDirIndexes: kindInt32, tagBaseNames: kindStrings, tagDirNames: kindStrings,
		tagPayloadFormat: kindString, tagPayloadCompressor: kindString, 1126: kindString,
		tagFileDigestAlgo: kindInt32, tagPayloadDigest: kindStrings, tagPayloadDigestAlgo: kindInt32,
	}
}

// forbiddenTag says what a tag is that packages of others may have and a component may not.
func forbiddenTag(tag uint32) string {
	switch tag {
	case 1023, 1024, 1025, 1026, 1079, 1085, 1086, 1087, 1088, 1091, 1151, 1152, 1153, 1154, 5104, 5105, 5106, 5107:
		return "a scriptlet"
	case 1065, 1066, 1067, 1068, 1069, 1092, 5066, 5067, 5068, 5069, 5076, 5077, 5078, 5079:
		return "a trigger"
	case 1054, 1090, 5049, 5052, 5055:
		return "conflicts, obsoletes or hints, which the contract matrix knows nothing of"
	case 5010:
		return "file capabilities"
	case 1003:
		return "an epoch"
	}
	return "something unexpected"
}

// checkTags refuses tags that Build does not write.
func (h *header) checkTags() error {
	known := mainTags()
	for _, tag := range slices.Sorted(maps.Keys(h.tags)) { // in order, so that the same package gives the same error
		t := h.tags[tag]
		kind, ok := known[tag]
		if !ok {
			return fmt.Errorf("%w: the header has %s (tag %d)", ErrForbidden, forbiddenTag(tag), tag)
		}
		if t.kind != kind {
			return fmt.Errorf("%w: tag %d is of kind %d, want %d", ErrForbidden, tag, t.kind, kind)
		}
	}
	return nil
}

// texts returns a tag's strings, nil when it is absent.
func (h *header) texts(tag uint32) []string {
	t, ok := h.tags[tag]
	if !ok || t.kind != kindString && t.kind != kindStrings {
		return nil
	}
	return strings.Split(string(t.data[:len(t.data)-1]), "\x00")
}

// text returns a tag's one string, empty when it is absent or has several.
func (h *header) text(tag uint32) string {
	if s := h.texts(tag); len(s) == 1 {
		return s[0]
	}
	return ""
}

// numbers returns a tag's integers of 16 or 32 bits, nil when it is absent.
func (h *header) numbers(tag uint32) []uint32 {
	t, ok := h.tags[tag]
	if !ok {
		return nil
	}
	out := make([]uint32, t.count)
	for i := range out {
		switch t.kind {
		case kindInt16:
			out[i] = uint32(binary.BigEndian.Uint16(t.data[2*i:]))
		case kindInt32:
			out[i] = binary.BigEndian.Uint32(t.data[4*i:])
		default:
			return nil
		}
	}
	return out
}

// relations returns one of the header's lists, whose three tags must be of one length.
func (h *header) relations(names, versions, flags uint32) ([]relation, error) {
	n, v, f := h.texts(names), h.texts(versions), h.numbers(flags)
	if len(n) != len(v) || len(n) != len(f) {
		return nil, fmt.Errorf("%w: tags %d, %d and %d are of different lengths", ErrForbidden, names, versions, flags)
	}
	out := make([]relation, len(n))
	for i := range n {
		if f[i]&^(senseCompare|senseRPMLib) != 0 {
			return nil, fmt.Errorf("%w: relation %q has flags %#x", ErrForbidden, n[i], f[i])
		}
		out[i] = relation{n[i], v[i], f[i]}
	}
	return out, nil
}
