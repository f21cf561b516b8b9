// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only

// The stream's generator. It runs by BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES in the context
// of a host's interface: every frame is written whole, since the pages come round again with whatever
// a router made of them, and leaves by XDP_TX towards the peer. The family is the one of the frame
// given by user space, as is the length.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>

#include "checksum.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct flow);
} flows SEC(".maps");

// turns: 0 for IPv4, 1 for IPv6.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct turn);
} turns SEC(".maps");

volatile const __u8 source_address[ETH_ALEN];
volatile const __u8 destination_address[ETH_ALEN];

// Deliberate faults, to test the meter with: every so many sequences of a flow, 0 for never.
volatile const __u32 skip_every;
volatile const __u32 swap_every;
volatile const __u32 repeat_every;

enum { NOTHING, EARLIER, AGAIN };

// pick says which sequence of the flow goes out now.
static __always_inline __u64 pick(struct flow *flow)
{
	__u64 now = flow->next;

	if (flow->deferred == EARLIER) {
		flow->deferred = NOTHING;
		return now - 2;
	}
	if (flow->deferred == AGAIN) {
		flow->deferred = NOTHING;
		return now - 1;
	}
	if (skip_every && now % skip_every == 0)
		now++;
	if (swap_every && now % swap_every == 0) {
		flow->deferred = EARLIER;
		now++;
	} else if (repeat_every && now % repeat_every == 0) {
		flow->deferred = AGAIN;
	}
	flow->next = now + 1;
	return now;
}

static __always_inline void put_udp(struct udphdr *udp, struct flow *flow, __u32 id, __be16 length)
{
	struct stamp *stamp = (void *)(udp + 1);

	udp->source = flow->source_port;
	udp->dest = flow->destination_port;
	udp->len = length;
	udp->check = 0;
	stamp->magic = STREAM_MAGIC;
	stamp->flow = id;
	stamp->sequence = pick(flow);
	stamp->time_ns = bpf_ktime_get_ns();
	flow->emitted++;
}

// A checksum of zero is sent as all ones (RFC 768).
static __always_inline __u16 finish(__u16 sum)
{
	__u16 check = ~sum;

	return check ? check : 0xffff;
}

static __always_inline int put_ip4(struct iphdr *ip, void *end, struct flow *flow, __u32 id)
{
	struct udphdr *udp = (void *)(ip + 1);
	__be16 udp_length = bpf_htons((__u16)(end - (void *)udp));

	if ((void *)(udp + 1) + sizeof(struct stamp) > end)
		return XDP_ABORTED;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = bpf_htons((__u16)(end - (void *)ip));
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000); // don't fragment
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->check = 0;
	__builtin_memcpy(&ip->saddr, flow->source, 4);
	__builtin_memcpy(&ip->daddr, flow->destination, 4);
	ip->check = ~sum_ip4(ip);
	put_udp(udp, flow, id, udp_length);
	udp->check = finish(sum_udp(udp, pseudo_ip4(ip, udp_length)));
	return XDP_TX;
}

static __always_inline int put_ip6(struct ipv6hdr *ip, void *end, struct flow *flow, __u32 id)
{
	struct udphdr *udp = (void *)(ip + 1);
	__be16 udp_length = bpf_htons((__u16)(end - (void *)udp));

	if ((void *)(udp + 1) + sizeof(struct stamp) > end)
		return XDP_ABORTED;
	ip->version = 6;
	ip->priority = 0;
	__builtin_memset(ip->flow_lbl, 0, sizeof(ip->flow_lbl));
	ip->payload_len = udp_length;
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, flow->source, 16);
	__builtin_memcpy(&ip->daddr, flow->destination, 16);
	put_udp(udp, flow, id, udp_length);
	udp->check = finish(sum_udp(udp, pseudo_ip6(ip, udp_length)));
	return XDP_TX;
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct turn *turn;
	struct flow *flow;
	__u32 six, id;

	if ((void *)(ethernet + 1) + sizeof(struct iphdr) > end)
		return XDP_ABORTED;
	six = ethernet->h_proto == bpf_htons(ETH_P_IPV6);
	turn = bpf_map_lookup_elem(&turns, &six);
	if (!turn)
		return XDP_ABORTED;
	if (turn->cursor >= turn->count)
		turn->cursor = 0;
	id = turn->first + turn->cursor++;
	flow = bpf_map_lookup_elem(&flows, &id);
	if (!flow)
		return XDP_ABORTED;
	for (int i = 0; i < ETH_ALEN; i++) {
		ethernet->h_source[i] = source_address[i];
		ethernet->h_dest[i] = destination_address[i];
	}
	if (!six)
		return put_ip4((void *)(ethernet + 1), end, flow, id);
	if ((void *)(ethernet + 1) + sizeof(struct ipv6hdr) > end)
		return XDP_ABORTED;
	return put_ip6((void *)(ethernet + 1), end, flow, id);
}

char LICENSE[] SEC("license") = "GPL";
