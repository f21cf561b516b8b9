/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What a router changes in a packet.
 */
#ifndef ASHLAR_REWRITE_H
#define ASHLAR_REWRITE_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include "structs.h"

/* rewrite_link writes both addresses: twelve bytes that lie the same way in frame and adjacency. */
static __always_inline void rewrite_link(struct ethhdr *eth, const struct adjacency *a)
{
	__u32 *to = (__u32 *)eth;
	const __u32 *from = (const __u32 *)a;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

/* rewrite_ttl takes one from the TTL and keeps the checksum right (RFC 1624). */
static __always_inline void rewrite_ttl(struct iphdr *ip)
{
	__u32 check = ip->check;

	check += bpf_htons(0x0100);
	ip->check = (__u16)(check + (check >= 0xffff));
	ip->ttl--;
}

#endif
