// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package icmperror

import (
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// packet4 is an IPv4 packet with options, if any, and the first bytes of an echo request.
func packet4(options int) []byte {
	b := make([]byte, 20+options+8)
	b[0] = 4<<4 | byte(5+options/4)
	b[9] = 1
	copy(b[16:], []byte{192, 0, 2, 9})
	copy(b[20+options:], []byte{8, 0, 0, 0, 0x12, 0x34, 0, 7})
	return b
}

func packet6(protocol byte, payload ...byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[39] = 6<<4, protocol, 9
	b[24], b[25] = 0x20, 0x01
	return append(b, payload...)
}

func marshal(t testing.TB, m icmp.Message) []byte {
	t.Helper()
	b, err := m.Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEcho(t *testing.T) {
	for _, options := range []int{0, 8} {
		b := marshal(t, icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: 1, Body: &icmp.DstUnreach{Data: packet4(options)}})
		e, ok := Parse(false, b)
		if !ok || e.Reason != "host unreachable" || e.Destination.String() != "192.0.2.9" {
			t.Fatalf("%+v, %t", e, ok)
		}
		if id, sequence, ok := e.Echo(false); !ok || id != 0x1234 || sequence != 7 {
			t.Errorf("%x %d %t", id, sequence, ok)
		}
		if _, _, ok := e.UDP(); ok {
			t.Error("an echo request is UDP")
		}
	}
}

func TestWords(t *testing.T) {
	for _, test := range []struct {
		m    icmp.Message
		v6   bool
		want string
	}{
		{icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: 3, Body: &icmp.DstUnreach{Data: packet4(0)}}, false, "port unreachable"},
		{icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: 13, Body: &icmp.DstUnreach{Data: packet4(0)}}, false, "administratively prohibited"},
		{icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: 99, Body: &icmp.DstUnreach{Data: packet4(0)}}, false, "destination unreachable (code 99)"},
		{icmp.Message{Type: ipv4.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: packet4(0)}}, false, "time to live exceeded"},
		{icmp.Message{Type: ipv4.ICMPTypeParameterProblem, Body: &icmp.ParamProb{Data: packet4(0)}}, false, "parameter problem"},
		{icmp.Message{Type: ipv6.ICMPTypeDestinationUnreachable, Code: 0, Body: &icmp.DstUnreach{Data: packet6(17)}}, true, "no route to destination"},
		{icmp.Message{Type: ipv6.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: packet6(17)}}, true, "hop limit exceeded"},
		{icmp.Message{Type: ipv6.ICMPTypePacketTooBig, Body: &icmp.PacketTooBig{MTU: 1280, Data: packet6(17)}}, true, "packet too big, the next link takes 1280 bytes"},
	} {
		if e, ok := Parse(test.v6, marshal(t, test.m)); !ok || e.Reason != test.want {
			t.Errorf("%v code %d: %q, %t", test.m.Type, test.m.Code, e.Reason, ok)
		}
	}
}

func TestUDP(t *testing.T) {
	b := marshal(t, icmp.Message{Type: ipv6.ICMPTypeDestinationUnreachable, Code: 4, Body: &icmp.DstUnreach{Data: packet6(17, 0x10, 0x00, 0x82, 0x9a)}})
	e, ok := Parse(true, b)
	if !ok || !e.PortUnreachable {
		t.Fatalf("%+v, %t", e, ok)
	}
	if source, port, ok := e.UDP(); !ok || source != 0x1000 || port != 33434 {
		t.Errorf("%d %d %t", source, port, ok)
	}
}

func TestNoErrors(t *testing.T) {
	echo := marshal(t, icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: &icmp.Echo{}})
	short := marshal(t, icmp.Message{Type: ipv4.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: packet4(0)[:19]}})
	other := marshal(t, icmp.Message{Type: ipv4.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: packet6(17)}})
	for _, b := range [][]byte{nil, {3}, echo, short, other} {
		if e, ok := Parse(false, b); ok {
			t.Errorf("%x is %+v", b, e)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(true, marshal(f, icmp.Message{Type: ipv6.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: packet6(17, 1, 2, 3, 4)}}))
	f.Add(false, marshal(f, icmp.Message{Type: ipv4.ICMPTypeTimeExceeded, Body: &icmp.TimeExceeded{Data: packet4(8)}}))
	f.Fuzz(func(t *testing.T, v6 bool, b []byte) {
		if e, ok := Parse(v6, b); ok {
			e.Echo(v6)
			e.UDP()
			if !e.Destination.IsValid() || e.Reason == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}
