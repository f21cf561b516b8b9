// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only

// The stream's meter: an XDP program at the links where streams end. It counts each stamped frame by
// flow and drops it; everything else passes to the host.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>

#include "checksum.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

// window remembers which sequences were seen: slot s % WINDOW holds the last such sequence, so that
// nothing ever has to be cleared.
struct window {
	__u64 seen[WINDOW];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u32);
	__type(value, struct window);
} windows SEC(".maps");

volatile const struct tap taps[MAX_LINKS];

// link_of returns the number of the link, or MAX_LINKS.
static __always_inline __u32 link_of(__u32 index, const __u8 *destination, bool *ours)
{
	for (__u32 link = 0; link < MAX_LINKS; link++) {
		if (taps[link].index != index)
			continue;
		*ours = true;
		for (int i = 0; i < ETH_ALEN; i++)
			if (destination[i] != taps[link].address[i])
				*ours = false;
		return link;
	}
	return MAX_LINKS;
}

static __always_inline void count(struct tally *tally, struct window *window, __u64 sequence, __u64 sent,
				  __u64 now, __u32 link)
{
	__u64 latency = now - sent;
	__u64 *slot = &window->seen[sequence & (WINDOW - 1)];

	bpf_spin_lock(&tally->lock);
	tally->received++;
	tally->by_link[link & (MAX_LINKS - 1)]++;
	tally->latency_ns += latency;
	if (latency > tally->latency_max_ns)
		tally->latency_max_ns = latency;
	if (tally->last_ns && now > tally->last_ns && now - tally->last_ns > tally->silence_max_ns)
		tally->silence_max_ns = now - tally->last_ns;
	tally->last_ns = now;
	if (sequence >= tally->expected) {
		tally->expected = sequence + 1;
		*slot = sequence;
	} else if (tally->expected - sequence > WINDOW) {
		tally->stale++;
	} else if (*slot == sequence) {
		tally->duplicated++;
	} else {
		tally->reordered++;
		*slot = sequence;
	}
	bpf_spin_unlock(&tally->lock);
}

// udp_of finds the UDP header of a plain IPv4 or IPv6 packet and says whether the checksums hold.
static __always_inline struct udphdr *udp_of(struct ethhdr *ethernet, void *end, bool *intact)
{
	struct udphdr *udp;

	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(ethernet + 1);

		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) + sizeof(struct stamp) > end || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
			return 0;
		*intact = sum_ip4(ip) == 0xffff && sum_udp(udp, pseudo_ip4(ip, udp->len)) == 0xffff;
		return udp;
	}
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(ethernet + 1);

		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) + sizeof(struct stamp) > end || ip->nexthdr != IPPROTO_UDP)
			return 0;
		*intact = sum_udp(udp, pseudo_ip6(ip, udp->len)) == 0xffff;
		return udp;
	}
	return 0;
}

SEC("xdp")
int measure(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	bool intact = false, ours = false;
	struct window *window;
	struct udphdr *udp;
	struct stamp *stamp;
	struct tally *tally;
	__u32 link, id;

	if ((void *)(ethernet + 1) > end)
		return XDP_PASS;
	udp = udp_of(ethernet, end, &intact);
	if (!udp)
		return XDP_PASS;
	stamp = (void *)(udp + 1);
	if ((void *)(stamp + 1) > end || stamp->magic != STREAM_MAGIC)
		return XDP_PASS;
	id = stamp->flow;
	link = link_of(ctx->ingress_ifindex, ethernet->h_dest, &ours);
	tally = bpf_map_lookup_elem(&tallies, &id);
	window = bpf_map_lookup_elem(&windows, &id);
	if (!tally || !window || link >= MAX_LINKS)
		return XDP_PASS;
	if (!intact || !ours) {
		__sync_fetch_and_add(&tally->damaged, 1);
		return XDP_DROP;
	}
	count(tally, window, stamp->sequence, stamp->time_ns, bpf_ktime_get_ns(), link);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
