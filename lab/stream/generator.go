// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ashlar-nos/ashlar/lab/netns"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Frame sizes in bytes, without FCS: headers and stamp at least, an untagged Ethernet frame at most.
const (
	smallestFrame4 = 14 + 20 + 8 + 24
	smallestFrame6 = 14 + 40 + 8 + 24
	largestFrame   = 1514
)

// batch is how many frames the kernel makes before it lets them go.
const batch = 64

// Faults are made on purpose, to test a meter with: every so many sequences of a flow, 0 for never.
type Faults struct {
	// Skip leaves a sequence out, Swap sends two neighbours in the wrong order, Repeat sends one twice.
	Skip, Swap, Repeat uint32
}

// Config says what a Generator sends from where.
type Config struct {
	// Host and Interface are where the frames seem to come from; they leave towards its peer.
	Host      *netns.Namespace
	Interface string
	// NextHop is the router's hardware address.
	NextHop net.HardwareAddr
	V4, V6  []Flow
	// FrameSize in bytes without FCS; 0 means the smallest there is for each family.
	FrameSize int
	Faults    Faults
}

// Rate is in packets a second. Unlimited is as fast as it goes, 0 is none.
type Rate struct {
	V4, V6 int
}

// Unlimited is the Rate of one family without pacing.
const Unlimited = -1

// Generator sends. Its methods may be called from any goroutine; only one Run or Send at a time.
type Generator struct {
	config  Config
	objects generatorObjects
	parked  *parking
	index   uint32
	running chan struct{} // holds one token while nobody sends
}

// NewGenerator loads the program. Close frees it.
func NewGenerator(config Config) (*Generator, error) {
	if n := len(config.V4) + len(config.V6); n == 0 || n > 1024 {
		return nil, fmt.Errorf("a stream has 1 to 1024 flows, not %d", n)
	}
	if config.FrameSize > largestFrame || config.FrameSize != 0 && config.FrameSize < smallestFrame6 {
		return nil, fmt.Errorf("frame size %d: between %d and %d", config.FrameSize, smallestFrame6, largestFrame)
	}
	var own *net.Interface
	err := config.Host.Do(func() (err error) {
		own, err = net.InterfaceByName(config.Interface)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("generator on %s: %w", config.Interface, err)
	}
	spec, err := loadGenerator()
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{
		generatorVarSourceAddress:      [6]byte(own.HardwareAddr),
		generatorVarDestinationAddress: [6]byte(config.NextHop),
		generatorVarSkipEvery:          config.Faults.Skip,
		generatorVarSwapEvery:          config.Faults.Swap,
		generatorVarRepeatEvery:        config.Faults.Repeat,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	g := &Generator{config: config, index: uint32(own.Index), running: make(chan struct{}, 1)}
	g.running <- struct{}{}
	if err := spec.LoadAndAssign(&g.objects, nil); err != nil {
		return nil, fmt.Errorf("load generator: %w", err)
	}
	if err := g.fill(); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	if g.parked, err = park(g.objects.Generate); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// fill writes the flows and whose turn it is.
func (g *Generator) fill() error {
	var id uint32
	for family, flows := range [][]Flow{g.config.V4, g.config.V6} {
		turn := generatorTurn{First: id, Count: uint32(len(flows))}
		if err := g.objects.Turns.Put(uint32(family), &turn); err != nil {
			return err
		}
		for _, flow := range flows {
			entry := generatorFlow{
				SourcePort:      networkOrder(flow.Source.Port()),
				DestinationPort: networkOrder(flow.Destination.Port()),
				Next:            1,
			}
			if flow.Source.Addr().Is6() != (family == 1) || flow.Destination.Addr().Is6() != (family == 1) {
				return fmt.Errorf("flow %d (%s to %s) is not of its family", id, flow.Source, flow.Destination)
			}
			copy(entry.Source[:], flow.Source.Addr().AsSlice())
			copy(entry.Destination[:], flow.Destination.Addr().AsSlice())
			if err := g.objects.Flows.Put(id, &entry); err != nil {
				return err
			}
			id++
		}
	}
	return nil
}

func networkOrder(port uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, port))
}

// Sent returns how many sequences of each flow have been given out.
func (g *Generator) Sent() ([]uint64, error) {
	sent := make([]uint64, len(g.config.V4)+len(g.config.V6))
	for id := range sent {
		var flow generatorFlow
		if err := g.objects.Flows.Lookup(uint32(id), &flow); err != nil {
			return nil, err
		}
		sent[id] = flow.Next - 1
	}
	return sent, nil
}

// Close frees the program. Nobody may be sending.
func (g *Generator) Close() error {
	if g.parked != nil {
		return errors.Join(g.parked.Close(), g.objects.Close())
	}
	return g.objects.Close()
}

// tick is the pace. What a stall left behind, up to mostBehind of stream, is made up for slowly: a burst that
// does not fit into the receive queue of a veth (256 frames) would be lost by the lab itself.
const (
	tick       = 2 * time.Millisecond
	mostBehind = 500 * time.Millisecond
	// hurry is how much faster than its rate the stream may be to make up.
	hurry = 1.5
)

// account is what one family has to send.
type account struct {
	frame []byte
	rate  float64 // frames a second
	due   float64
}

// take returns how many frames are to be sent now, when some time has passed.
func (a *account) take(passed time.Duration) uint32 {
	a.due = min(a.due+passed.Seconds()*a.rate, mostBehind.Seconds()*a.rate)
	now := uint32(min(a.due, max(hurry*tick.Seconds()*a.rate, 1)))
	a.due -= float64(now)
	return now
}

// Run sends at a rate until ctx ends, which is no error.
func (g *Generator) Run(ctx context.Context, rate Rate) error {
	<-g.running
	defer func() { g.running <- struct{}{} }()
	return g.config.Host.Do(func() error {
		if rate.V4 == Unlimited || rate.V6 == Unlimited {
			return g.flood(ctx, rate)
		}
		return g.pace(ctx, rate)
	})
}

func (g *Generator) pace(ctx context.Context, rate Rate) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	accounts := []account{{frame: g.frame4(), rate: float64(rate.V4)}, {frame: g.frame6(), rate: float64(rate.V6)}}
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := time.Now()
		for i := range accounts {
			if err := g.emit(accounts[i].frame, accounts[i].take(now.Sub(last))); err != nil {
				return err
			}
		}
		last = now
	}
}

// flood sends without pace, a good many frames to each call.
func (g *Generator) flood(ctx context.Context, rate Rate) error {
	const many = 256 * batch
	for ctx.Err() == nil {
		if rate.V4 != 0 {
			if err := g.emit(g.frame4(), many); err != nil {
				return err
			}
		}
		if rate.V6 != 0 {
			if err := g.emit(g.frame6(), many); err != nil {
				return err
			}
		}
	}
	return nil
}

// Send sends exactly n4 and n6 frames, one family after the other.
func (g *Generator) Send(n4, n6 int) error {
	<-g.running
	defer func() { g.running <- struct{}{} }()
	return g.config.Host.Do(func() error {
		return errors.Join(g.exactly(g.frame4(), n4), g.exactly(g.frame6(), n6))
	})
}

// exactly keeps to one batch for each call: a call of more may be interrupted and begun again.
func (g *Generator) exactly(frame []byte, n int) error {
	for ; n > 0; n -= batch {
		if err := g.emit(frame, uint32(min(n, batch))); err != nil {
			return err
		}
	}
	return nil
}

func (g *Generator) emit(frame []byte, n uint32) error {
	if n == 0 {
		return nil
	}
	_, err := g.objects.Generate.Run(&ebpf.RunOptions{
		Data:      frame,
		Repeat:    n,
		Flags:     unix.BPF_F_TEST_XDP_LIVE_FRAMES,
		BatchSize: batch,
		Context:   &xdpContext{DataEnd: uint32(len(frame)), IngressIndex: g.index},
	})
	if err != nil {
		return fmt.Errorf("generate frames: %w", err)
	}
	return nil
}

// xdpContext is struct xdp_md.
type xdpContext struct {
	Data, DataEnd, DataMeta     uint32
	IngressIndex, Queue, Egress uint32
}

func (g *Generator) frame4() []byte { return g.frame(0x0800, smallestFrame4) }
func (g *Generator) frame6() []byte { return g.frame(0x86dd, smallestFrame6) }

func (g *Generator) frame(ethertype uint16, smallest int) []byte {
	frame := make([]byte, max(smallest, g.config.FrameSize))
	binary.BigEndian.PutUint16(frame[12:], ethertype)
	return frame
}
