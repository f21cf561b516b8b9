/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the stream's generator, its meter and user space share.
 *
 * Every frame of a stream is Ethernet, IPv4 or IPv6, UDP and then a stamp; what follows the stamp is
 * zero. Fields of the stamp are in host byte order: both ends are on one machine and on one clock.
 */
#ifndef ASHLAR_LAB_STREAM_STRUCTS_H
#define ASHLAR_LAB_STREAM_STRUCTS_H

#include <linux/bpf.h>
#include <linux/types.h>

#define STREAM_MAGIC 0x41534c52u
#define MAX_FLOWS 1024
#define MAX_LINKS 4
#define WINDOW 1024 /* sequences of one flow within which a late one is told from a repeated one */

struct stamp {
	__u32 magic;
	__u32 flow;
	__u64 sequence; /* of the flow, from 1 */
	__u64 time_ns;	/* CLOCK_MONOTONIC */
} __attribute__((packed));

/* flow is one UDP flow to be generated. Addresses and ports in network byte order; IPv4 in the first 4 bytes. */
struct flow {
	__u8 source[16];
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u32 deferred; /* 1: the sequence before the last one is still to be sent; 2: the last one again */
	__u64 next;	/* sequence to be sent next, from 1 */
	__u64 emitted;	/* frames sent, repeated ones included, skipped ones not */
};

/* turn says which flow of a family is next. Flows of a family are neighbours in the array. */
struct turn {
	__u32 first;
	__u32 count;
	__u32 cursor;
	__u32 pad;
};

/* tally is what arrived of one flow, which may come by two links at once: hence the lock. */
struct tally {
	struct bpf_spin_lock lock;
	__u32 pad;
	__u64 expected;	  /* highest sequence seen + 1; 0 before the first */
	__u64 received;	  /* frames, all of them */
	__u64 reordered;  /* arrived after a higher sequence, for the first time */
	__u64 duplicated; /* arrived before */
	__u64 stale;	  /* more than WINDOW behind: late or repeated, nobody can tell */
	__u64 damaged;	  /* wrong checksum, or not addressed to this link; not counted otherwise */
	__u64 latency_ns; /* sum over received */
	__u64 latency_max_ns;
	__u64 silence_max_ns; /* longest time between two arrivals */
	__u64 last_ns;	      /* time of the last arrival */
	__u64 by_link[MAX_LINKS];
};

/* tap is a link that the meter listens on. */
struct tap {
	__u32 index; /* interface index; 0: unused */
	__u8 address[6];
	__u8 pad[2];
};

#endif
