// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// effect looks at the device from outside its configuration; nil when it is as it should be.
type effect func(ctx context.Context, r *rig) error

// kernel asks `ip` in the device's namespace, with details.
func kernel(question string, has ...string) effect {
	return func(_ context.Context, r *rig) error {
		out, err := r.Topology.Device.Output(exec.Command("ip", append([]string{"-details"}, strings.Fields(question)...)...))
		if err != nil {
			return err
		}
		for _, text := range has {
			if !strings.Contains(string(out), text) {
				return fmt.Errorf("ip %s lacks %q:\n%s", question, text, out)
			}
		}
		return nil
	}
}

// kernelLacks is the opposite.
func kernelLacks(question, text string) effect {
	return func(ctx context.Context, r *rig) error {
		if err := kernel(question, text)(ctx, r); err == nil {
			return fmt.Errorf("ip %s still has %q", question, text)
		}
		return nil
	}
}

// state is what the owner of a leaf tells by telemetry.
func state(path, want string) effect {
	return func(ctx context.Context, r *rig) error {
		got, err := r.get(ctx, path, gnmi.GetRequest_STATE)
		if err == nil && got != want {
			err = fmt.Errorf("%s is %s, not %s", path, got, want)
		}
		return err
	}
}

// forwards is what packets for an address meet: next hops as "interface address", in any order.
func forwards(address string, want ...string) effect {
	return func(ctx context.Context, r *rig) error {
		connection, err := grpc.NewClient("unix://"+r.Device.Layout.Socket("dataplane.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer connection.Close()
		answer, err := dataplanev1.NewDataplaneClient(connection).Lookup(ctx,
			&dataplanev1.LookupRequest{Address: netip.MustParseAddr(address).AsSlice()})
		if err != nil {
			return err
		}
		var got []string
		for _, hop := range answer.GetRoute().GetNextHops() {
			ip, _ := netip.AddrFromSlice(hop.GetAddress())
			got = append(got, hop.GetInterface()+" "+ip.String())
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			return fmt.Errorf("packets for %s go by %v, not %v (%s)", address, got, want, answer.GetRoute().GetAction())
		}
		return nil
	}
}

// drops: packets for an address are thrown away.
func drops(address string) effect {
	return func(ctx context.Context, r *rig) error {
		connection, err := grpc.NewClient("unix://"+r.Device.Layout.Socket("dataplane.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer connection.Close()
		answer, err := dataplanev1.NewDataplaneClient(connection).Lookup(ctx,
			&dataplanev1.LookupRequest{Address: netip.MustParseAddr(address).AsSlice()})
		if err == nil && answer.GetRoute().GetAction() != dataplanev1.Action_ACTION_DROP {
			err = fmt.Errorf("packets for %s meet %s", address, answer.GetRoute())
		}
		return err
	}
}

// hostname is what programs on the device see.
func hostname(want string) effect {
	return func(_ context.Context, r *rig) error {
		out, err := exec.Command("nsenter", "--uts="+r.Device.Hostname, "hostname").CombinedOutput()
		if got := strings.TrimSpace(string(out)); err == nil && got != want {
			err = fmt.Errorf("hostname is %q, not %q", got, want)
		}
		return err
	}
}
