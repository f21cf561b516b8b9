/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The forwarding table: a trie of eight-bit strides whose nodes are lines or dense pages in the arena.
 * Every reference is read from memory that hangs from one header, so a packet sees one generation.
 * Offsets are masked, never compared: the verifier needs a bound, and a mask costs no branch.
 */
#ifndef ASHLAR_FIB_H
#define ASHLAR_FIB_H

#include "maps.h"

#define ARENA_MASK ((__u64)ARENA_UNITS * UNIT_BYTES - 1)
#define KIND(ref) ((ref) >> KIND_SHIFT)

static __always_inline const void *arena_at(const struct tables *t, __u64 offset)
{
	return t->arena + (offset & ARENA_MASK);
}

/* arena_unit is the address of a unit; the kind bits of a reference fall off the top. */
static __always_inline const void *arena_unit(const struct tables *t, __u32 ref)
{
	return arena_at(t, (__u64)ref * UNIT_BYTES);
}

static __always_inline const struct header *live_header(const struct tables *t)
{
	return arena_unit(t, (__u32)READ_WORD(t->control.generation));
}

/* line_rank is the index of the leaf for an octet. */
static __always_inline __u32 line_rank(const struct line *l, __u32 octet)
{
	__u32 word = (octet >> 6) & 3;
	__u64 upto = l->starts[word] & (~0ULL >> (63 - (octet & 63)));
	__u32 before = (l->ranks >> (word * 8)) & 0xff;

	return (before + __builtin_popcountll(upto) - 1) & 0xff;
}

/* fib_step goes one octet deeper. The second unit of a long line is touched at once: it comes while the
 * first is still on its way. */
static __always_inline __u32 fib_step(const struct tables *t, __u32 ref, __u32 octet)
{
	const void *node = arena_unit(t, ref);
	const struct line *l = node;
	const void *leaves = l->leaves;

	switch (KIND(ref)) {
	case KIND_DENSE:
		return ((const __u32 *)node)[octet & 0xff];
	case KIND_BYTE_LONG:
		(void)READ_WORD(*(const __u64 *)(l + 1));
		__attribute__((fallthrough));
	case KIND_BYTE:
		return ((const __u8 *)leaves)[line_rank(l, octet)];
	case KIND_NARROW_LONG:
		(void)READ_WORD(*(const __u64 *)(l + 1));
		__attribute__((fallthrough));
	case KIND_NARROW:
		return ((const __u16 *)leaves)[line_rank(l, octet)];
	case KIND_WIDE_LONG:
		(void)READ_WORD(*(const __u64 *)(l + 1));
		__attribute__((fallthrough));
	default:
		return ((const __u32 *)leaves)[line_rank(l, octet)];
	}
}

/* fib_v4 is the group slot for a destination in network byte order; 0: no route. */
static __always_inline __u32 fib_v4(const struct tables *t, const struct header *h, const __u8 *to)
{
	__u32 ref = h->v4[to[0]];

	if (KIND(ref) == KIND_LEAF)
		goto leaf;
	ref = fib_step(t, ref, to[1]);
	if (KIND(ref) == KIND_LEAF)
		goto leaf;
	ref = fib_step(t, ref, to[2]);
	if (KIND(ref) == KIND_LEAF)
		goto leaf;
	ref = fib_step(t, ref, to[3]);
leaf:
	return ref ? ref : h->default_v4;
}

/* fib_v6: as fib_v4, sixteen octets. */
static __always_inline __u32 fib_v6(const struct tables *t, const struct header *h, const __u8 *to)
{
	__u32 ref = h->v6[to[0]];

	for (int i = 1; i < 16; i++) {
		if (KIND(ref) == KIND_LEAF)
			break;
		ref = fib_step(t, ref, to[i]);
	}
	return ref ? ref : h->default_v6;
}

#endif
