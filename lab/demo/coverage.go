// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"

	"github.com/ashlar-nos/ashlar/lab/topology"
	dataplanev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// dataplaneSocket serves ashlar.dataplane.v1.
const dataplaneSocket = "dataplane.sock"

// forwarded is how many packets that came in from host A the XDP program has sent on by itself.
func (d *demo) forwarded(ctx context.Context) (uint64, error) {
	connection, err := grpc.NewClient("unix://"+d.lab.Device.Layout.Socket(dataplaneSocket),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	answer, err := dataplanev1.NewDataplaneClient(connection).ListPorts(ctx, &dataplanev1.ListPortsRequest{})
	if err != nil {
		return 0, fmt.Errorf("forward counters: %w", err)
	}
	for _, port := range answer.GetPorts() {
		if port.GetName() == topology.LinkA.Port {
			return port.GetCounters().GetForwardedPackets(), nil
		}
	}
	return 0, fmt.Errorf("forward counters: the dataplane has no port %s", topology.LinkA.Port)
}

func (d *demo) startCoverage(ctx context.Context) (err error) {
	d.alreadyForwarded, err = d.forwarded(ctx)
	return err
}

// checkCoverage compares the program's counter with the stream's: at least 99.9 % must have gone by it.
func (d *demo) checkCoverage(ctx context.Context) (string, error) {
	now, err := d.forwarded(ctx)
	if err != nil {
		return "", err
	}
	total, err := d.traffic.Total()
	if err != nil {
		return "", err
	}
	by := now - d.alreadyForwarded
	if by*1000 < total*999 {
		d.fault("the XDP program forwarded %d of the stream's %d packets, less than 99.9 %%", by, total)
	}
	return fmt.Sprintf("XDP forwarded %s of %s", thousands(by), thousands(total)), nil
}
