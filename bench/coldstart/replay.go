// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/ashlar-nos/ashlar/bench/internal/router"
	interfacesv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	statev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// replayTable holds rows about as large as an interface's.
	replayTable = "bench.replay"
	// fillSize is the number of rows in one transaction while the table is filled.
	fillSize = 5000
)

// replaySpeed is in rows a second; share is replayed to decoded, pair by pair.
type replaySpeed struct{ replayed, decoded, share []float64 }

// replay fills a table and reads it as a watch begins, in turns with decoding what it read.
func replay(ctx context.Context, device *router.Router, rows, times int) (s replaySpeed, err error) {
	conn, err := router.Dial(device.Device.Layout.Socket("state.sock"))
	if err != nil {
		return s, err
	}
	defer conn.Close()
	client := statev1.NewStateClient(conn)
	if err := fill(ctx, client, rows); err != nil {
		return s, err
	}
	for range times {
		begin := time.Now()
		messages, n, err := watchOnce(ctx, client)
		if err != nil {
			return s, err
		}
		replayed := float64(n) / time.Since(begin).Seconds()
		if n != rows {
			return s, fmt.Errorf("%d rows of %d were replayed", n, rows)
		}
		decoded, err := decodeOnly(messages)
		if err != nil {
			return s, err
		}
		s.replayed, s.decoded = append(s.replayed, replayed), append(s.decoded, decoded)
		s.share = append(s.share, replayed/decoded)
	}
	return s, nil
}

func row(i int) *interfacesv1.Interface {
	return &interfacesv1.Interface{
		Name: fmt.Sprintf("ge%d", i), Index: uint32(i), Enabled: true, Up: i%2 == 0, Mtu: 1500,
		HardwareAddress: []byte{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)},
		Addresses: []*interfacesv1.Address{
			{Address: []byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, PrefixLength: 32},
			{Address: append(make([]byte, 12), 10, byte(i>>16), byte(i>>8), byte(i)), PrefixLength: 128},
		},
	}
}

func fill(ctx context.Context, client statev1.StateClient, rows int) error {
	descriptors, err := descriptorSet(row(0).ProtoReflect().Descriptor().ParentFile())
	if err != nil {
		return err
	}
	declare := &statev1.DeclareTableRequest{
		Name: replayTable, MessageType: string(row(0).ProtoReflect().Descriptor().FullName()), DescriptorSet: descriptors,
	}
	if _, err := client.DeclareTable(ctx, declare); err != nil {
		return err
	}
	for from := 0; from < rows; from += fillSize {
		tx := &statev1.TransactRequest{FencingToken: 1} // the operator is given none; its first is any
		for i := from; i < min(from+fillSize, rows); i++ {
			value, err := proto.Marshal(row(i))
			if err != nil {
				return err
			}
			put := &statev1.Row{Table: replayTable, Key: fmt.Sprintf("%08d", i), Value: value}
			tx.Operations = append(tx.Operations, &statev1.Operation{Operation: &statev1.Operation_Put{Put: put}})
		}
		if _, err := client.Transact(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// descriptorSet serialises a file with all it imports.
func descriptorSet(file protoreflect.FileDescriptor) ([]byte, error) {
	set, seen := &descriptorpb.FileDescriptorSet{}, map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(file)
	return proto.Marshal(set)
}

// watchOnce reads the table as a watch begins, decodes every row as a client would, and returns the
// messages.
func watchOnce(ctx context.Context, client statev1.StateClient) (messages []*statev1.WatchResponse, rows int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Watch(ctx, &statev1.WatchRequest{Table: replayTable})
	if err != nil {
		return nil, 0, err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, 0, err
		}
		if m.GetSynced() != nil {
			return messages, rows, nil
		}
		if m.GetSnapshot() == nil {
			return nil, 0, errors.New("the watch does not begin with the table")
		}
		messages = append(messages, m)
		if err := decodeRows(m); err != nil {
			return nil, 0, err
		}
		rows += len(m.GetSnapshot().GetRows())
	}
}

func decodeRows(m *statev1.WatchResponse) error {
	for _, r := range m.GetSnapshot().GetRows() {
		if err := proto.Unmarshal(r.GetValue(), &interfacesv1.Interface{}); err != nil {
			return err
		}
	}
	return nil
}

// decodeOnly decodes messages from memory, rows included, and returns rows a second.
func decodeOnly(messages []*statev1.WatchResponse) (float64, error) {
	var raw [][]byte
	for _, m := range messages {
		b, err := proto.Marshal(m)
		if err != nil {
			return 0, err
		}
		raw = append(raw, b)
	}
	rows, begin := 0, time.Now()
	for _, b := range raw {
		var m statev1.WatchResponse
		if err := proto.Unmarshal(b, &m); err != nil {
			return 0, err
		}
		if err := decodeRows(&m); err != nil {
			return 0, err
		}
		rows += len(m.GetSnapshot().GetRows())
	}
	return float64(rows) / time.Since(begin).Seconds(), nil
}
