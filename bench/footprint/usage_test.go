// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"
)

func TestAddMappings(t *testing.T) {
	var u usage
	u.addMappings([]byte(`00400000-00500000 r-xp 00000000 fe:00 12 /opt/bin/ribd
Size:               1024 kB
Pss:                 300 kB
Pss_Dirty:            10 kB
Private_Clean:       200 kB
Private_Dirty:        50 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0004000000 rw-s 00000000 00:0e 42 anon_inode:bpf-map
Pss:               65536 kB
Private_Dirty:     65536 kB
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
Pss:                  12 kB
Private_Dirty:        12 kB
`))
	if u.pss != 312<<10 || u.private != 262<<10 || u.mapped != 64<<20 {
		t.Fatalf("%+v", u)
	}
}

func TestMeasureOneself(t *testing.T) {
	u, err := measure("test", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.pss < 1<<20 || u.private == 0 || u.threads == 0 {
		t.Fatalf("%+v", u)
	}
}
