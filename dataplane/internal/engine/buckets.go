// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package engine

// Resilient hashing: a group of several members has a fixed table of buckets, each owned by a member. When
// members die, come back or change weight, as few buckets as possible change their owner, so that as few
// flows as possible change their path.

// bucketsLog is log2 of the number of buckets: 0 for a single member.
func bucketsLog(weights []uint32) int {
	total := uint64(0)
	for _, w := range weights {
		total += uint64(w)
	}
	switch {
	case len(weights) < 2:
		return 0
	case len(weights) <= 32 && total <= 64:
		return 7
	default:
		return 9
	}
}

// quotas shares n buckets among members by weight; dead members get none. Every living member gets at
// least one. If all are dead they are treated as alive: their packets go to the kernel all the same.
func quotas(n int, weights []uint32, alive []bool) []int {
	q := make([]int, len(weights))
	living := make([]int, 0, len(weights))
	for i := range weights {
		if alive[i] {
			living = append(living, i)
		}
	}
	if len(living) == 0 {
		for i := range weights {
			living = append(living, i)
		}
	}
	total := uint64(0)
	for _, i := range living {
		total += uint64(weights[i])
	}
	left := n
	for _, i := range living {
		q[i] = max(1, int(uint64(n)*uint64(weights[i])/total))
		left -= q[i]
	}
	for left != 0 {
		left = settle(q, living, weights, left)
	}
	return q
}

// settle moves one bucket towards the exact sum: it gives one to the member that has least for its weight, or
// takes one from the member that has most.
func settle(q, living []int, weights []uint32, left int) int {
	best := -1
	for _, i := range living {
		switch {
		case left < 0 && q[i] == 1:
		case best < 0,
			left > 0 && uint64(q[i])*uint64(weights[best]) < uint64(q[best])*uint64(weights[i]),
			left < 0 && uint64(q[i])*uint64(weights[best]) > uint64(q[best])*uint64(weights[i]):
			best = i
		}
	}
	if left > 0 {
		q[best]++
		return left - 1
	}
	q[best]--
	return left + 1
}

const nobody = 0xff

// assign gives every bucket an owner by quota. Owners that may stay, stay; nobody owns a new bucket.
func assign(owners []uint8, quota []int) {
	have := make([]int, len(quota))
	for b, o := range owners {
		if int(o) >= len(quota) || have[o] == quota[o] {
			owners[b] = nobody
			continue
		}
		have[o]++
	}
	next := 0
	for b, o := range owners {
		if o != nobody {
			continue
		}
		for have[next] >= quota[next] {
			next = (next + 1) % len(quota)
		}
		owners[b] = uint8(next)
		have[next]++
		next = (next + 1) % len(quota)
	}
}
