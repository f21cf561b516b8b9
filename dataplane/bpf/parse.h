/* Copyright The Ashlar Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * From bytes to a validated header, by RFC 1812 (section 5.2.2 and 5.3.7) and RFC 8200. Each parser
 * returns REASON_FORWARDED for a packet that the FIB may decide about, else why it may not.
 */
#ifndef ASHLAR_PARSE_H
#define ASHLAR_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include "structs.h"

struct frame {
	void *data;
	void *end;
	__u32 length;   /* bytes of layer 3, by its own header */
	__u32 flow;     /* 1: the four bytes behind the header are ports */
};

/* sum_header is zero when the checksum of an option-less IPv4 header is right. */
static __always_inline __u16 sum_header(const struct iphdr *ip)
{
	const __u32 *w = (const __u32 *)ip;
	__u64 sum = (__u64)w[0] + w[1] + w[2] + w[3] + w[4];

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* special_v4 says whether an address of this first octet may be neither source nor destination of a
 * forwarded packet: 0/8, 127/8, multicast and class E. */
static __always_inline int special_v4(__u32 octet)
{
	return octet == 0 || octet == 127 || octet >= 224;
}

/* link_local_v4 is true for 169.254/16: a router forwards neither from nor to it (RFC 3927, section 7). */
static __always_inline int link_local_v4(__be32 address)
{
	return (address & bpf_htonl(0xffff0000)) == bpf_htonl(0xa9fe0000);
}

static __always_inline __u32 destination_v4(const struct iphdr *ip)
{
	__u32 octet = ((const __u8 *)&ip->daddr)[0];

	if (!special_v4(octet))
		return REASON_FORWARDED;
	if (ip->daddr == 0xffffffff)
		return REASON_PUNT_BROADCAST;
	if (octet >= 224 && octet < 240)
		return REASON_PUNT_MULTICAST;
	return REASON_DROP_MARTIAN_DESTINATION;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline __u32 parse_v4(struct frame *f, struct iphdr *ip)
{
	__u32 reason;

	if ((void *)(ip + 1) > f->end)
		return REASON_DROP_RUNT;
	if (ip->version != 4 || ip->ihl < 5)
		return REASON_DROP_BAD_HEADER;
	f->length = bpf_ntohs(ip->tot_len);
	if (f->length < ip->ihl * 4 || f->data + sizeof(struct ethhdr) + f->length > f->end)
		return REASON_DROP_BAD_LENGTH;
	/* The kernel checks the sum of a header with options itself. */
	if (ip->ihl > 5)
		return REASON_PUNT_OPTIONS;
	if (sum_header(ip))
		return REASON_DROP_BAD_CHECKSUM;
	reason = destination_v4(ip);
	if (reason)
		return reason;
	if (special_v4(((const __u8 *)&ip->saddr)[0]))
		return REASON_DROP_MARTIAN_SOURCE;
	if (link_local_v4(ip->daddr) || link_local_v4(ip->saddr))
		return REASON_PUNT_LINK_LOCAL;
	/* All fragments of a datagram take one path: only its first would have ports. */
	f->flow = has_ports(ip->protocol) && !(ip->frag_off & bpf_htons(0x3fff));
	return REASON_FORWARDED;
}

/* unspecified_or_loopback is true for :: and ::1. */
static __always_inline int unspecified_or_loopback(const struct in6_addr *a)
{
	return !a->in6_u.u6_addr32[0] && !a->in6_u.u6_addr32[1] && !a->in6_u.u6_addr32[2] &&
	       !(a->in6_u.u6_addr32[3] & bpf_htonl(0xfffffffe));
}

static __always_inline int link_local(const struct in6_addr *a)
{
	return (a->in6_u.u6_addr16[0] & bpf_htons(0xffc0)) == bpf_htons(0xfe80);
}

static __always_inline __u32 parse_v6(struct frame *f, struct ipv6hdr *ip)
{
	if ((void *)(ip + 1) > f->end)
		return REASON_DROP_RUNT;
	if (ip->version != 6)
		return REASON_DROP_BAD_HEADER;
	f->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (f->data + sizeof(struct ethhdr) + f->length > f->end)
		return REASON_DROP_BAD_LENGTH;
	if (ip->daddr.in6_u.u6_addr8[0] == 0xff)
		return REASON_PUNT_MULTICAST;
	if (unspecified_or_loopback(&ip->daddr))
		return REASON_DROP_MARTIAN_DESTINATION;
	if (ip->saddr.in6_u.u6_addr8[0] == 0xff || unspecified_or_loopback(&ip->saddr))
		return REASON_DROP_MARTIAN_SOURCE;
	if (link_local(&ip->daddr) || link_local(&ip->saddr))
		return REASON_PUNT_LINK_LOCAL;
	if (ip->nexthdr == IPPROTO_HOPOPTS)
		return REASON_PUNT_HOP_BY_HOP;
	f->flow = has_ports(ip->nexthdr);
	return REASON_FORWARDED;
}

/* parse_other names what is neither IPv4 nor IPv6. */
static __always_inline __u32 parse_other(__be16 ethertype)
{
	switch (ethertype) {
	case bpf_htons(ETH_P_ARP):
		return REASON_PUNT_ARP;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return REASON_PUNT_VLAN;
	default:
		return REASON_PUNT_ETHERTYPE;
	}
}

/* parse_link checks that a frame was sent to this port's own address. */
static __always_inline __u32 parse_link(const struct ethhdr *eth, const struct port *port)
{
	const __u16 *have = (const __u16 *)eth->h_dest;
	const __u16 *own = (const __u16 *)port->address;

	if (!((have[0] ^ own[0]) | (have[1] ^ own[1]) | (have[2] ^ own[2])))
		return REASON_FORWARDED;
	if (eth->h_dest[0] & 1)
		return REASON_PUNT_LINK_GROUP;
	return REASON_PUNT_OTHER_HOST;
}

#endif
