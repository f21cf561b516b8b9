// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package stream

//go:generate ../../build/tools/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package stream generator ../bpf/generator.c -- -O2 -Wall -Werror -I../bpf -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
//go:generate ../../build/tools/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package stream meter ../bpf/meter.c -- -O2 -Wall -Werror -I../bpf -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
