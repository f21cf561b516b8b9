/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the program and the daemon share in memory. Go's mirror of these types and constants is
 * generated from this file's BTF (dataplane/internal/tables), so the two cannot drift apart.
 * All integers are in host byte order unless a comment says otherwise.
 */
#ifndef ASHLAR_STRUCTS_H
#define ASHLAR_STRUCTS_H

#include <linux/types.h>

enum limit {
	UNIT_BYTES = 64,              /* one line of the arena: a cache line */
	ARENA_UNITS = 1 << 20,        /* 64 MiB */
	ARENA_SLACK = 4096,           /* so that a masked base plus a bounded index stays inside */
	SHADOW_UNIT_BYTES = 32,
	SHADOW_UNITS = 1 << 20,       /* 32 MiB */
	PORT_INDEX = 1 << 16,         /* ports are found by the low bits of the ifindex */
	MAX_PORTS = 256,
	MAX_ADJACENCIES = 1 << 16,
	MAX_NEXT_HOP_COUNTERS = 1 << 14,
	MAX_GROUPS = 1 << 16,
	GROUPS_PER_PAGE = 256,
	MAX_REASONS = 64,
	LEAF_BYTES_PER_LINE = 28,
};

/* reason is why a packet went where it went; each is a counter. Order is part of the layout. */
enum reason {
	REASON_FORWARDED = 0,
	/* To the kernel. */
	REASON_PUNT_ARP,
	REASON_PUNT_VLAN,
	REASON_PUNT_ETHERTYPE,
	REASON_PUNT_OTHER_HOST,
	REASON_PUNT_LINK_GROUP,
	REASON_PUNT_PORT_DISABLED,
	REASON_PUNT_MULTICAST,
	REASON_PUNT_BROADCAST,
	REASON_PUNT_LINK_LOCAL,
	REASON_PUNT_OPTIONS,
	REASON_PUNT_HOP_BY_HOP,
	REASON_PUNT_TTL,
	REASON_PUNT_LOCAL,
	REASON_PUNT_NO_ROUTE,
	REASON_PUNT_GLEAN,
	REASON_PUNT_UNRESOLVED,
	REASON_PUNT_TOO_BIG,
	REASON_PUNT_CANARY, /* sent by the daemon to itself, to see that program and tables belong together */
	/* Discarded. */
	REASON_DROP_RUNT,
	REASON_DROP_BAD_HEADER,
	REASON_DROP_BAD_LENGTH,
	REASON_DROP_BAD_CHECKSUM,
	REASON_DROP_MARTIAN_SOURCE,
	REASON_DROP_MARTIAN_DESTINATION,
	REASON_DROP_ROUTE,
	REASON_DROP_REDIRECT, /* the driver of the port it should leave by did not take it; losses.c */
	REASON_COUNT,
};

/* action of a next-hop group. */
enum action {
	ACTION_NONE = 0,
	ACTION_FORWARD,
	ACTION_DROP,
	ACTION_LOCAL,
	ACTION_CONNECTED,
};

/* kind of a reference, its three top bits; the rest is a group slot (leaf) or a unit of the arena. A long
 * line has leaves beyond its first unit. */
enum ref_kind {
	KIND_LEAF = 0,        /* slot 0: nothing matched */
	KIND_BYTE = 1,        /* a line whose leaves are group slots below 256: the tables stay small */
	KIND_BYTE_LONG = 2,
	KIND_NARROW = 3,      /* a line whose leaves are 16-bit group slots */
	KIND_NARROW_LONG = 4,
	KIND_WIDE = 5,        /* a line whose leaves are 32-bit references */
	KIND_WIDE_LONG = 6,
	KIND_DENSE = 7,       /* 256 references, one for each octet */
	KIND_SHIFT = 29,
};

enum port_flag {
	PORT_ENABLED = 1,
	PORT_CANARY = 2, /* no link: what comes by it is only counted */
};

enum adjacency_flag {
	ADJACENCY_RESOLVED = 1,
};

/* line maps the 256 values of one octet of an address to leaves. A set bit begins a run of equal
 * leaves; the rank of the bit at or before the octet is the leaf's index. The leaves go on behind the line
 * when they are many: in the next cache line, on the same page. */
struct line {
	__u64 starts[4];
	__u32 ranks; /* byte w: number of runs that begin before word w */
	__u8 leaves[LEAF_BYTES_PER_LINE];
};

/* header is one generation: everything a packet needs hangs from it, and it is never changed in place. */
struct header {
	__u32 v4[256];
	__u32 v6[256];
	__u32 groups[256]; /* unit of each page of group words; 0: none of its groups exists */
	__u32 default_v4;  /* group slot for what nothing else matches */
	__u32 default_v6;
	__u64 sequence;
	__u64 programmer; /* generation of the programmer whose end of sync was last applied */
	__u64 routes_v4;
	__u64 routes_v6;
};

/* A group word is the only thing of a group that the program reads before a bucket:
 *   bits 0–31   adjacency (one bucket) or byte offset of the buckets in the arena
 *   bits 32–39  log2 of the number of buckets
 *   bits 40–47  action
 * A bucket is adjacency (bits 0–23) and the member that owns it (bits 24–31). Both change in place, by one store. */
enum group_bits {
	GROUP_LOG_SHIFT = 32,
	GROUP_ACTION_SHIFT = 40,
	BUCKET_ADJACENCY_MASK = 0xffffff,
	BUCKET_MEMBER_SHIFT = 24,
	MAX_BUCKETS_LOG = 9,
	MAX_MEMBERS = 128,
};

/* adjacency is what to write in front of a packet and where to send it. Copy-on-write; 0 is never resolved. */
struct adjacency {
	__u8 destination[6];
	__u8 source[6];
	__u32 ifindex;
	__u16 mtu;     /* bytes of layer 3 */
	__u16 port;    /* slot of the outgoing port's counters */
	__u16 flags;   /* enum adjacency_flag */
	__u16 reserved;
	__u32 counter; /* index of the next hop's counters; 0 collects what has none of its own */
	__u32 reserved2;
};

/* port is what the program knows of the link a packet came in by. Two aligned words, stored whole;
 * the first is stored last. */
struct port {
	__u32 ifindex; /* 0: free */
	__u16 slot;
	__u16 flags; /* enum port_flag */
	__u8 address[6];
	__u16 mtu; /* as configured, 0: the link's; only the daemon reads it */
};

struct control {
	__u64 generation; /* low half: unit of the live header; high half: sequence, so that no value comes twice */
	__u32 hash_seed;
	__u32 namespace; /* inode of the network namespace that the ports are in */
	__u64 programmer_token; /* highest fencing tokens seen */
	__u64 ports_token;
	__u8 program[32]; /* SHA-256 of the object that the program came from */
	__u64 ready;      /* 1 once the tables were filled for the first time */
	__u8 padding[56];
};

/* tables is the one value of the map that packets are forwarded by. */
struct tables {
	struct control control;
	struct port ports[PORT_INDEX];
	struct adjacency adjacencies[MAX_ADJACENCIES];
	__u8 arena[ARENA_UNITS * UNIT_BYTES + ARENA_SLACK];
};

/* shadow holds what the daemon must know again after a restart and packets need not: for each block
 * of the arena, by its first unit, the routes or groups it was made from. Only the daemon touches it. */
struct shadow {
	__u32 blocks[ARENA_UNITS]; /* first shadow unit; 0: none */
	__u8 port_names[MAX_PORTS][16];
	__u8 units[SHADOW_UNITS * SHADOW_UNIT_BYTES];
};

struct port_counters {
	__u64 in_packets;
	__u64 in_bytes;
	__u64 out_packets;
	__u64 out_bytes;
	__u64 forwarded;
	__u64 punted;
	__u64 dropped;
	__u64 lost; /* sent out of the port, but its driver did not take them; no part of out_* */
};

struct next_hop_counters {
	__u64 packets;
	__u64 bytes;
};

/* cpu_counters belongs to one CPU, so that counting needs no atomic instruction. */
struct cpu_counters {
	__u64 reasons[MAX_REASONS];
	__u32 sent_bytes;   /* of the frame sent last, and its next hop: what to take back when it is lost */
	__u32 sent_counter;
	__u32 lost_port;    /* slot of the port that lost a frame last, and why: -errno */
	__s32 lost_error;
	__u64 reserved[6];
	struct port_counters ports[MAX_PORTS];
	struct next_hop_counters next_hops[MAX_NEXT_HOP_COUNTERS];
};

#endif
