// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
)

// Unknown reports whether the error says that the process does not know the method: it is of an earlier level.
func Unknown(err error) bool { return status.Code(err) == codes.Unimplemented }

// Describe asks what the process is and serves.
func (c *Client) Describe(ctx context.Context) (*lifecyclev1.DescribeResponse, error) {
	r, err := c.rpc.Describe(ctx, &lifecyclev1.DescribeRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	return r, nil
}

// Rehearse asks what the process would write. Of an earlier level it has no outputs to show.
func (c *Client) Rehearse(ctx context.Context) (*lifecyclev1.RehearseResponse, error) {
	r, err := c.rpc.Rehearse(ctx, &lifecyclev1.RehearseRequest{}, grpc.WaitForReady(true))
	if Unknown(err) {
		return &lifecyclev1.RehearseResponse{Synced: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rehearse: %w", err)
	}
	return r, nil
}

// Freeze makes the process take no calls. When it fails, the process may or may not be frozen.
func (c *Client) Freeze(ctx context.Context, limit time.Duration) error {
	_, err := c.rpc.Freeze(ctx, &lifecyclev1.FreezeRequest{LimitMs: uint32(limit.Milliseconds())}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	return nil
}

// Unfreeze takes a freeze back. A process of an earlier level cannot be frozen, so that there is nothing to do.
func (c *Client) Unfreeze(ctx context.Context) error {
	_, err := c.rpc.Unfreeze(ctx, &lifecyclev1.UnfreezeRequest{}, grpc.WaitForReady(true))
	if err != nil && !Unknown(err) {
		return fmt.Errorf("unfreeze: %w", err)
	}
	return nil
}

// Transfer carries what the process exports to its successor.
func (c *Client) Transfer(ctx context.Context, successor *Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, err := c.rpc.Export(ctx, &lifecyclev1.ExportRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	to, err := successor.rpc.Import(ctx, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	for {
		r, err := from.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if err := to.Send(&lifecyclev1.ImportRequest{Part: r.GetPart()}); err != nil {
			break // the reason comes with the end of the call
		}
	}
	if _, err := to.CloseAndRecv(); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return nil
}
