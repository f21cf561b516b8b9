/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the forwarding benchmark runs: a step that gives the packet its next destination from a trace and
 * jumps to the router under test, the floor that the step itself costs, and the peer: a router by
 * bpf_fib_lookup that does what xdp-tools' xdp-forward does. (The helper is for GPL programs only.)
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define TRACE_LENGTH (1 << 20)
#define AF_INET 2

struct destination {
	__u32 address; /* network byte order */
	__u16 check;   /* of the header with this destination */
	__u16 reserved;
};

struct trace {
	struct destination destinations[TRACE_LENGTH];
	__u64 next;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace);
} traces SEC(".maps");

enum target { TARGET_FLOOR, TARGET_OURS, TARGET_PEER, TARGET_COUNT };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, TARGET_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

/* The port's hardware address; the rewrite of the round before replaced it. */
const volatile __u16 port_address[3];

static __always_inline int step(struct xdp_md *ctx, __u32 target)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct destination *d;
	struct trace *t;
	__u32 zero = 0;

	t = bpf_map_lookup_elem(&traces, &zero);
	if (!t || (void *)(ip + 1) > end)
		return XDP_ABORTED;
	d = &t->destinations[t->next++ & (TRACE_LENGTH - 1)];
	for (int i = 0; i < 3; i++)
		((__u16 *)eth->h_dest)[i] = port_address[i];
	ip->daddr = d->address;
	ip->check = d->check;
	ip->ttl = 64;
	bpf_tail_call(ctx, &targets, target);
	return XDP_ABORTED;
}

SEC("xdp")
int step_floor(struct xdp_md *ctx)
{
	return step(ctx, TARGET_FLOOR);
}

SEC("xdp")
int step_ours(struct xdp_md *ctx)
{
	return step(ctx, TARGET_OURS);
}

SEC("xdp")
int step_peer(struct xdp_md *ctx)
{
	return step(ctx, TARGET_PEER);
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp")
int fib_router(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bpf_fib_lookup fib = {};
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 check;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ttl <= 1)
		return XDP_PASS;
	fib.family = AF_INET;
	fib.tos = ip->tos;
	fib.l4_protocol = ip->protocol;
	fib.tot_len = bpf_ntohs(ip->tot_len);
	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	fib.ifindex = ctx->ingress_ifindex;
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	check = ip->check + bpf_htons(0x0100);
	ip->check = (__u16)(check + (check >= 0xffff));
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib.smac, ETH_ALEN);
	return bpf_redirect(fib.ifindex, 0);
}

char LICENSE[] SEC("license") = "GPL";
