// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ashlar-nos/ashlar/dataplane/measure"
)

// trial is everything loaded.
type trial struct {
	objects            traceObjects
	router             *measure.Router
	steps              [3]*ebpf.Program
	packets            int
	trace              []byte
	oursLoad, peerLoad time.Duration
}

// members of every group of ours: each packet is hashed. The peer's routes have one next hop each, which is
// cheaper for it.
const members = 2

func newTrial(routes []route, packets int) (*trial, error) {
	t := &trial{packets: packets}
	if err := t.load(routes); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *trial) load(routes []route) error {
	spec, err := loadTrace()
	if err != nil {
		return err
	}
	if err := spec.Variables["port_address"].Set(measure.Address()); err != nil {
		return err
	}
	if err := spec.LoadAndAssign(&t.objects, nil); err != nil {
		return err
	}
	if t.router, err = measure.New(measure.Config{Groups: peerHops, Members: members}); err != nil {
		return err
	}
	prefixes, groups := columns(routes)
	if t.oursLoad, err = t.router.Load(prefixes, groups, false); err != nil {
		return err
	}
	link, err := peerLink()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := installRoutes(routes, link); err != nil {
		return err
	}
	t.peerLoad = time.Since(begin)
	for i, p := range []*ebpf.Program{t.objects.Drop, t.router.Program(), t.objects.FibRouter} {
		if err := t.objects.Targets.Put(uint32(i), p); err != nil {
			return fmt.Errorf("target %d: %w", i, err)
		}
	}
	t.steps = [3]*ebpf.Program{t.objects.StepFloor, t.objects.StepOurs, t.objects.StepPeer}
	t.trace, err = unix.Mmap(t.objects.Traces.FD(), 0, int(unsafe.Sizeof(traceTrace{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	destinations(routes, (*traceTrace)(unsafe.Pointer(&t.trace[0])).Destinations[:])
	return t.check()
}

const (
	dropped    = 1
	redirected = 4
)

// check sends some thousand packets one by one and wants every one of them forwarded by both.
func (t *trial) check() error {
	for i, want := range []uint32{dropped, redirected, redirected} {
		for n := range 4096 {
			v, err := t.steps[i].Run(&ebpf.RunOptions{Data: frame()})
			if err != nil {
				return err
			}
			if v != want {
				return fmt.Errorf("packet %d of target %d: verdict %d, want %d (ours: %v)", n, i, v, want, t.router.Reasons())
			}
		}
	}
	return nil
}

// measure returns ns a packet of one target.
func (t *trial) measure(i int) (float64, error) {
	v, took, err := t.steps[i].Benchmark(frame(), t.packets, nil)
	if err != nil {
		return 0, err
	}
	if want := []uint32{dropped, redirected, redirected}[i]; v != want {
		return 0, fmt.Errorf("target %d: verdict %d, want %d", i, v, want)
	}
	return float64(took.Nanoseconds()), nil
}

func (t *trial) close() error {
	var errs []error
	if t.trace != nil {
		errs = append(errs, unix.Munmap(t.trace))
	}
	if t.router != nil {
		errs = append(errs, t.router.Close())
	}
	return errors.Join(append(errs, t.objects.Close())...)
}
