// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"sync"
	"testing"

	pb "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// large is a device with a thousand interfaces configured.
func large(b *testing.B) (*device, pb.GNMIClient) {
	b.Helper()
	d, _, _ := furnished(b, "never")
	client := d.gnmi()
	var values []string
	for i := range 1000 {
		values = append(values, fmt.Sprintf("/interfaces/interface[name=ge%d]/config/mtu", i), "1400")
	}
	d.firstSet(client, values...)
	return d, client
}

// tenLeaves is a Set of ten leaves at two owners, different each time.
func tenLeaves(n int) []string {
	out := []string{host, fmt.Sprintf("%q", fmt.Sprint("host", n))}
	for i := range 9 {
		out = append(out, fmt.Sprintf("/interfaces/interface[name=ge%d]/config/mtu", i), fmt.Sprint(1000+n%500))
	}
	return out
}

func BenchmarkSet(b *testing.B) {
	d, client := large(b)
	n := 0
	for b.Loop() {
		n++
		check(b, d.set(client, tenLeaves(n)...))
	}
}

func BenchmarkSetBy32(b *testing.B) {
	d, client := large(b)
	var wait sync.WaitGroup
	work := make(chan int)
	for range 32 {
		wait.Go(func() {
			for n := range work {
				if err := d.set(client, tenLeaves(n)...); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for n := 0; b.Loop(); n++ {
		work <- n
	}
	close(work)
	wait.Wait()
}

func BenchmarkGetLeaf(b *testing.B) {
	d, client := large(b)
	request := &pb.GetRequest{Path: []*pb.Path{gpath.MustParse("/interfaces/interface[name=ge500]/config/mtu")}}
	ctx := d.context()
	for b.Loop() {
		_, err := client.Get(ctx, request)
		check(b, err)
	}
}

// BenchmarkUnary is what a bare call costs on the same socket.
func BenchmarkUnary(b *testing.B) {
	d, client := large(b)
	ctx := d.context()
	for b.Loop() {
		_, err := client.Set(ctx, &pb.SetRequest{Extension: nil})
		check(b, err)
	}
}

// BenchmarkOnce reads every leaf of the device; one operation is one leaf.
func BenchmarkOnce(b *testing.B) {
	d, client := large(b)
	for leaves := 0; leaves < b.N; {
		stream, err := client.Subscribe(d.context())
		check(b, err)
		check(b, stream.Send(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Subscribe{Subscribe: &pb.SubscriptionList{
			Mode: pb.SubscriptionList_ONCE, Encoding: pb.Encoding_PROTO, Subscription: []*pb.Subscription{{Path: &pb.Path{}}},
		}}}))
		for synced := false; !synced; {
			m, err := stream.Recv()
			check(b, err)
			leaves += len(m.GetUpdate().GetUpdate())
			synced = m.GetSyncResponse()
		}
	}
}
