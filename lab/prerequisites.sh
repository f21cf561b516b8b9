#!/bin/sh
# Copyright The Ashlar Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing of the Debian packages that building and the lab need, and says why.
# `go build ./...` alone needs none of them: generated code is committed.
set -eu

missing=
need() { # package, a file that it brings, what for
	if [ ! -e "$2" ]; then
		echo "missing: $1 - $3"
		missing="$missing $1"
	fi
}
need clang-19 /usr/bin/clang-19 "compiles the XDP programs (make generate)"
need llvm-19 /usr/bin/llvm-strip-19 "strips the XDP programs' debug information, all but their types"
need libbpf-dev /usr/include/bpf/bpf_helpers.h "headers of the XDP programs"
need iproute2 /bin/ip "ip: to look into the lab's namespaces by hand"
need ethtool /usr/sbin/ethtool "to look at the offloads and counters of the lab's links by hand"
need rpm /usr/bin/rpm "to check and install our packages as anybody would (tests)"
need createrepo-c /usr/bin/createrepo_c "the metadata of the package repository (make rpm)"

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "installing them needs root: sudo apt-get install$missing" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "this is no Debian: install the equivalents of$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# clang-19 is in Debian 12's own repository.
apt-get install -y -qq --no-install-recommends $missing
