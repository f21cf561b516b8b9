// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import "encoding/binary"

const (
	prefaceSize = 24 // RFC 9113 §3.4
	headerSize  = 9  // RFC 9113 §4.1
	pingSize    = 8  // RFC 9113 §6.7
	typePing    = 6
	flagAck     = 1
)

// farewell is what gRPC puts into the ping that follows its first GOAWAY.
var farewell = [pingSize]byte{1, 6, 1, 8, 0, 3, 3, 9}

// scan reads along what a client of HTTP/2 sends. It finds the moment when the client has answered the server's
// farewell: from then on the client begins no call on the connection. The zero value is not usable; see newScan.
type scan struct {
	// skip is how much of a payload, or of the preface, is still to come.
	skip int
	// inFrame: skip belongs to a frame.
	inFrame bool
	head    [headerSize + pingSize]byte
	have    int

	// frames is how many came whole; answered, whether the answer to the farewell is among them.
	frames   int
	answered bool
}

func newScan() scan { return scan{skip: prefaceSize} }

// feed takes the next bytes.
func (s *scan) feed(b []byte) {
	for len(b) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(b))
			b = b[n:]
			if s.skip -= n; s.skip == 0 && s.inFrame {
				s.inFrame = false
				s.frames++
			}
			continue
		}
		n := copy(s.head[s.have:s.want()], b)
		b = b[n:]
		if s.have += n; s.have == s.want() {
			s.frame()
		}
	}
}

// want is how much of a frame is looked at: the header, of a ping all.
func (s *scan) want() int {
	if s.have >= headerSize && s.head[3] == typePing && s.length() == pingSize {
		return headerSize + pingSize
	}
	return headerSize
}

func (s *scan) length() int { return int(binary.BigEndian.Uint32(s.head[:4]) >> 8) }

// frame judges what was looked at.
func (s *scan) frame() {
	whole := s.have > headerSize || s.length() == 0
	if s.have > headerSize && s.head[4]&flagAck != 0 && [pingSize]byte(s.head[headerSize:]) == farewell {
		s.answered = true
	}
	s.have = 0
	if whole {
		s.frames++
		return
	}
	s.skip, s.inFrame = s.length(), true
}
