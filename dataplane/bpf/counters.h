/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Counting. XDP runs with bottom halves off and stays on its CPU, so plain additions suffice.
 */
#ifndef ASHLAR_COUNTERS_H
#define ASHLAR_COUNTERS_H

#include "maps.h"

static __always_inline struct cpu_counters *counters_here(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&counters, &cpu);
}

static __always_inline void count_reason(struct cpu_counters *c, __u32 reason)
{
	c->reasons[reason & (MAX_REASONS - 1)]++;
}

/* count_in books a packet at the port it arrived by, under what became of it. */
static __always_inline void count_in(struct cpu_counters *c, __u32 slot, __u32 reason, __u64 bytes)
{
	struct port_counters *p = &c->ports[slot & (MAX_PORTS - 1)];

	p->in_packets++;
	p->in_bytes += bytes;
	if (reason == REASON_FORWARDED)
		p->forwarded++;
	else if (reason < REASON_DROP_RUNT)
		p->punted++;
	else
		p->dropped++;
	count_reason(c, reason);
}

static __always_inline void count_out(struct cpu_counters *c, const struct adjacency *a, __u64 bytes)
{
	struct port_counters *p = &c->ports[a->port & (MAX_PORTS - 1)];
	struct next_hop_counters *n = &c->next_hops[a->counter & (MAX_NEXT_HOP_COUNTERS - 1)];

	p->out_packets++;
	p->out_bytes += bytes;
	n->packets++;
	n->bytes += bytes;
	c->sent_bytes = bytes;
	c->sent_counter = a->counter;
}

#endif
