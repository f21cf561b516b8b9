// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package fib

// queue is first in, first out; its memory goes back once it is empty.
type queue[T any] struct {
	items []T
	head  int
}

const keepQueueCapacity = 1 << 14

func (q *queue[T]) push(v T)    { q.items = append(q.items, v) }
func (q *queue[T]) len() int    { return len(q.items) - q.head }
func (q *queue[T]) empty() bool { return q.len() == 0 }
func (q *queue[T]) peek() T     { return q.items[q.head] }

func (q *queue[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	switch {
	case q.head == len(q.items):
		q.clear()
	case q.head >= keepQueueCapacity && q.head*2 >= len(q.items):
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return v
}

func (q *queue[T]) clear() {
	if cap(q.items) > keepQueueCapacity {
		q.items = nil
	}
	clear(q.items)
	q.items, q.head = q.items[:0], 0
}
