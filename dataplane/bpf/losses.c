/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Frames that the router sent and that no driver took. bpf_redirect only notes where a frame shall go; what
 * becomes of it is known after the program has ended and counted. These two run where the kernel gives such a
 * frame up, on the CPU that forwarded it, and move it from "forwarded" to "redirect-failed".
 *
 * Tracepoints see every network namespace: what did not come in by a port of ours is left alone. The kernel lets
 * only programs under the GPL read its types, so this one may be had under it, too.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "structs.h"
#include "maps.h"
#include "counters.h"

/* The part of the kernel's types that is read; the loader finds where it lies in the kernel that runs. */
#define RELOCATED __attribute__((preserve_access_index))
struct ns_common {
	unsigned int inum;
} RELOCATED;
struct net {
	struct ns_common ns;
} RELOCATED;
typedef struct {
	struct net *net;
} RELOCATED possible_net_t;
struct bpf_prog;
struct net_device {
	int ifindex;
	possible_net_t nd_net;
} RELOCATED;

/* port_of is the port that a link is; 0 if it is none. */
static __always_inline const struct port *port_of(const struct tables *t, __u32 ifindex)
{
	const struct port *p = &t->ports[ifindex & (PORT_INDEX - 1)];

	return p->ifindex == ifindex ? p : 0;
}

/* lose books n frames that came in by one link and should have left by another. Their bytes are known when it
 * is the frame that this CPU forwarded last. */
static __always_inline void lose(const struct net_device *from, __u32 to, __u64 n, int error, int last)
{
	struct cpu_counters *c = counters_here();
	const struct port *in, *out;
	struct next_hop_counters *hop;
	struct port_counters *p;
	struct tables *t;
	__u32 zero = 0;

	t = bpf_map_lookup_elem(&forwarding, &zero);
	if (!t || !c || !from || from->nd_net.net->ns.inum != t->control.namespace)
		return;
	in = port_of(t, from->ifindex);
	out = port_of(t, to);
	if (!in || !out)
		return;
	c->reasons[REASON_FORWARDED] -= n;
	c->reasons[REASON_DROP_REDIRECT] += n;
	p = &c->ports[in->slot & (MAX_PORTS - 1)];
	p->forwarded -= n;
	p->dropped += n;
	c->lost_port = out->slot;
	c->lost_error = error;
	p = &c->ports[out->slot & (MAX_PORTS - 1)];
	p->out_packets -= n;
	p->lost += n;
	if (!last)
		return;
	p->out_bytes -= c->sent_bytes;
	hop = &c->next_hops[c->sent_counter & (MAX_NEXT_HOP_COUNTERS - 1)];
	hop->packets -= n;
	hop->bytes -= c->sent_bytes;
}

/* One frame was refused at once: the port's driver, or a veth's peer, takes no redirected frames, or the link is
 * down. */
SEC("tp_btf/xdp_redirect_err")
int BPF_PROG(refused, const struct net_device *dev, const struct bpf_prog *xdp, const void *target, int err,
	     int map_type, __u32 map_id, __u32 index)
{
	lose(dev, index, 1, err, 1);
	return 0;
}

/* Frames were queued for the port, and the driver did not take all of them. */
SEC("tp_btf/xdp_devmap_xmit")
int BPF_PROG(unsent, const struct net_device *from, const struct net_device *to, int sent, int drops, int err)
{
	if (drops > 0 && to)
		lose(from, to->ifindex, drops, err, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
