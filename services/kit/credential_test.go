// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import "syscall"

func credential(uid uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}
