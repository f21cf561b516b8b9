/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * From a group slot to an adjacency. A group of several next hops has a fixed table of buckets; the
 * flow hash picks one, so a flow stays on its path when another member comes or goes.
 */
#ifndef ASHLAR_NEXTHOP_H
#define ASHLAR_NEXTHOP_H

#include "fib.h"
#include "parse.h"

static __always_inline __u64 mix(__u64 h, __u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ (h >> 32);
}

/* ports_of are the four bytes behind a header, when the packet has them. */
static __always_inline __u32 ports_of(const struct frame *f, const void *behind)
{
	if (!f->flow || behind + 4 > f->end)
		return 0;
	return *(const __u32 *)behind;
}

static __always_inline __u32 flow_v4(const struct frame *f, const struct iphdr *ip, __u32 seed)
{
	__u64 h = mix(seed, ((__u64)ip->saddr << 32) | ip->daddr);

	h = mix(h, ((__u64)ports_of(f, ip + 1) << 8) | ip->protocol);
	return h >> 16;
}

/* flow_v6 adds the flow label (RFC 6438). */
static __always_inline __u32 flow_v6(const struct frame *f, const struct ipv6hdr *ip, __u32 seed)
{
	const __u32 *s = ip->saddr.in6_u.u6_addr32, *d = ip->daddr.in6_u.u6_addr32;
	__u32 label = *(const __u32 *)ip & bpf_htonl(0x000fffff);
	__u64 h = mix(seed, ((__u64)s[0] << 32) | s[1]);

	h = mix(h, ((__u64)s[2] << 32) | s[3]);
	h = mix(h, ((__u64)d[0] << 32) | d[1]);
	h = mix(h, ((__u64)d[2] << 32) | d[3]);
	h = mix(h, ((__u64)label << 32) | ports_of(f, ip + 1));
	return mix(h, ip->nexthdr) >> 16;
}

static __always_inline __u64 group_word(const struct tables *t, const struct header *h, __u32 slot)
{
	__u32 page = h->groups[(slot >> 8) & 0xff];
	const __u64 *words = arena_unit(t, page);

	return READ_WORD(words[slot & (GROUPS_PER_PAGE - 1)]);
}

static __always_inline __u32 group_buckets_log(__u64 word)
{
	return (word >> GROUP_LOG_SHIFT) & 0xff;
}

/* group_bucket is the adjacency that a flow uses. */
static __always_inline __u32 group_bucket(const struct tables *t, __u64 word, __u32 flow)
{
	__u32 index = flow & ((1U << (group_buckets_log(word) & 15)) - 1) & ((1 << MAX_BUCKETS_LOG) - 1);
	const __u32 *buckets = arena_at(t, (__u32)word);

	return READ_WORD(buckets[index]) & BUCKET_ADJACENCY_MASK;
}

static __always_inline const struct adjacency *adjacency_at(const struct tables *t, __u32 index)
{
	return &t->adjacencies[index & (MAX_ADJACENCIES - 1)];
}

/* group_verdict is why a packet of this group is not forwarded; REASON_FORWARDED for one that is. */
static __always_inline __u32 group_verdict(__u64 word)
{
	switch ((word >> GROUP_ACTION_SHIFT) & 0xff) {
	case ACTION_FORWARD:
		return REASON_FORWARDED;
	case ACTION_DROP:
		return REASON_DROP_ROUTE;
	case ACTION_LOCAL:
		return REASON_PUNT_LOCAL;
	case ACTION_CONNECTED:
		return REASON_PUNT_GLEAN;
	default:
		return REASON_PUNT_NO_ROUTE;
	}
}

#endif
