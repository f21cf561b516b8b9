/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The forwarding engine: parse, FIB, next hop, rewrite, redirect. What it does not decide goes to the
 * kernel; every packet is counted once, under one reason.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "structs.h"
#include "maps.h"
#include "counters.h"
#include "parse.h"
#include "fib.h"
#include "nexthop.h"
#include "rewrite.h"

/* usable decides between the adjacency and the kernel. A packet that is too big keeps its bytes: the
 * kernel fragments it or answers. */
static __always_inline __u32 usable(const struct adjacency *a, const struct frame *f)
{
	if (!(a->flags & ADJACENCY_RESOLVED))
		return REASON_PUNT_UNRESOLVED;
	if (f->length > a->mtu)
		return REASON_PUNT_TOO_BIG;
	return REASON_FORWARDED;
}

static __always_inline __u32 route_v4(const struct tables *t, struct frame *f, const struct adjacency **out)
{
	struct iphdr *ip = f->data + sizeof(struct ethhdr);
	const struct header *h;
	__u32 reason, bucket;
	__u64 word;

	reason = parse_v4(f, ip);
	if (reason)
		return reason;
	h = live_header(t);
	word = group_word(t, h, fib_v4(t, h, (const __u8 *)&ip->daddr));
	reason = group_verdict(word);
	if (reason)
		return reason;
	if (ip->ttl <= 1)
		return REASON_PUNT_TTL;
	bucket = word;
	if (group_buckets_log(word))
		bucket = group_bucket(t, word, flow_v4(f, ip, t->control.hash_seed));
	*out = adjacency_at(t, bucket);
	reason = usable(*out, f);
	if (reason)
		return reason;
	rewrite_ttl(ip);
	return REASON_FORWARDED;
}

static __always_inline __u32 route_v6(const struct tables *t, struct frame *f, const struct adjacency **out)
{
	struct ipv6hdr *ip = f->data + sizeof(struct ethhdr);
	const struct header *h;
	__u32 reason, bucket;
	__u64 word;

	reason = parse_v6(f, ip);
	if (reason)
		return reason;
	h = live_header(t);
	word = group_word(t, h, fib_v6(t, h, ip->daddr.in6_u.u6_addr8));
	reason = group_verdict(word);
	if (reason)
		return reason;
	if (ip->hop_limit <= 1)
		return REASON_PUNT_TTL;
	bucket = word;
	if (group_buckets_log(word))
		bucket = group_bucket(t, word, flow_v6(f, ip, t->control.hash_seed));
	*out = adjacency_at(t, bucket);
	reason = usable(*out, f);
	if (reason)
		return reason;
	ip->hop_limit--;
	return REASON_FORWARDED;
}

static __always_inline __u32 route(const struct tables *t, const struct port *port, struct frame *f,
				   const struct adjacency **out)
{
	struct ethhdr *eth = f->data;
	__u32 reason;

	if ((void *)(eth + 1) > f->end)
		return REASON_DROP_RUNT;
	if (!(port->flags & PORT_ENABLED))
		return port->flags & PORT_CANARY ? REASON_PUNT_CANARY : REASON_PUNT_PORT_DISABLED;
	if (eth->h_proto != bpf_htons(ETH_P_IP) && eth->h_proto != bpf_htons(ETH_P_IPV6))
		return parse_other(eth->h_proto);
	reason = parse_link(eth, port);
	if (reason)
		return reason;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		reason = route_v4(t, f, out);
	else
		reason = route_v6(t, f, out);
	if (!reason)
		rewrite_link(eth, *out);
	return reason;
}

SEC("xdp")
int router(struct xdp_md *ctx)
{
	struct frame f = {.data = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end};
	__u64 bytes = f.end - f.data;
	const struct adjacency *out = 0;
	struct cpu_counters *c = counters_here();
	const struct port *port;
	struct tables *t;
	__u32 zero = 0, reason;

	t = bpf_map_lookup_elem(&forwarding, &zero);
	if (!t || !c)
		return XDP_PASS;
	port = &t->ports[ctx->ingress_ifindex & (PORT_INDEX - 1)];
	if (port->ifindex != ctx->ingress_ifindex)
		return XDP_PASS;
	reason = route(t, port, &f, &out);
	count_in(c, port->slot, reason, bytes);
	if (reason >= REASON_DROP_RUNT)
		return XDP_DROP;
	if (reason || !out)
		return XDP_PASS;
	count_out(c, out, bytes);
	return bpf_redirect(out->ifindex, 0);
}

/* The types that Go's mirror is generated from, in a section that no loader reads. */
#define EXPORT(type, name) type *export_##name SEC("types")
EXPORT(struct line, line);
EXPORT(struct header, header);
EXPORT(enum limit, limit);
EXPORT(enum reason, reason);
EXPORT(enum action, action);
EXPORT(enum ref_kind, ref_kind);
EXPORT(enum port_flag, port_flag);
EXPORT(enum adjacency_flag, adjacency_flag);
EXPORT(enum group_bits, group_bits);

char LICENSE[] SEC("license") = "Apache-2.0";
