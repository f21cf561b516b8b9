/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Internet checksums (RFC 1071) over the parts of a stream's frame.
 */
#ifndef ASHLAR_LAB_CHECKSUM_H
#define ASHLAR_LAB_CHECKSUM_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "stream_structs.h"

/* fold brings a 32-bit sum to 16 bits; two rounds take every carry. */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* sum_ip4 is the sum over an IPv4 header without options, its checksum field included. */
static __always_inline __u16 sum_ip4(struct iphdr *ip)
{
	return fold((__u32)bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0));
}

/* sum_udp adds the UDP header, its checksum field included, and the stamp behind it. The rest of the
 * payload is zero and adds nothing. */
static __always_inline __u16 sum_udp(struct udphdr *udp, __u32 pseudo)
{
	return fold((__u32)bpf_csum_diff(0, 0, (__be32 *)udp, sizeof(*udp) + sizeof(struct stamp), pseudo));
}

/* pseudo_ip4 and pseudo_ip6 are the sums over the pseudo header (RFC 768, RFC 8200 section 8.1). The
 * addresses lie one behind the other in both headers. */
static __always_inline __u32 pseudo_ip4(struct iphdr *ip, __be16 udp_length)
{
	return (__u32)bpf_csum_diff(0, 0, &ip->saddr, 8, bpf_htons(IPPROTO_UDP) + udp_length);
}

static __always_inline __u32 pseudo_ip6(struct ipv6hdr *ip, __be16 udp_length)
{
	return (__u32)bpf_csum_diff(0, 0, (__be32 *)&ip->saddr, 32, bpf_htons(IPPROTO_UDP) + udp_length);
}

#endif
