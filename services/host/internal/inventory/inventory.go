// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package inventory publishes the components of the device, as the supervisor knows them, in the form of
// openconfig-platform: one SOFTWARE_MODULE each.
package inventory

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"

	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/retry"
)

// supervisorName is the component that the supervisor does not list: itself.
const supervisorName = "supervisor"

// listLimit bounds the one call that is no stream.
const listLimit = 5 * time.Second

// Publisher takes leaves by absolute path; the kit's telemetry publisher is one.
type Publisher interface {
	Publish(at time.Time, updates map[string]any, deletes ...string)
}

// Inventory follows the supervisor.
type Inventory struct {
	publisher Publisher
	log       *slog.Logger
	// known are the components that were published.
	known map[string]bool
}

// New returns an inventory that knows nothing yet.
func New(p Publisher, log *slog.Logger) *Inventory {
	return &Inventory{publisher: p, log: log, known: map[string]bool{}}
}

// Run follows until ctx ends. While the supervisor is away, what was known last stays: components go on
// without it. dial returns a connection to it.
func (i *Inventory) Run(ctx context.Context, dial func() (*grpc.ClientConn, error)) error {
	return retry.Forever(ctx, i.log, "follow the supervisor", func(ctx context.Context) error {
		conn, err := dial()
		if err != nil {
			return err
		}
		return i.follow(ctx, supervisorv1.NewSupervisorClient(conn))
	})
}

func (i *Inventory) follow(ctx context.Context, client supervisorv1.SupervisorClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Watch(ctx, &supervisorv1.WatchRequest{})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for synced := false; ; {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if c := m.GetComponent(); c.GetName() != "" {
			seen[c.GetName()] = true
			i.publish(c.GetName(), c.GetVersion(), c.GetSummary(), status(c.GetPhase()))
		}
		if m.GetSynced() && !synced {
			synced = true
			if err := i.supervisor(ctx, client, seen); err != nil {
				return err
			}
			i.sweep(seen)
		}
	}
}

// supervisor publishes the supervisor itself and the software version of the device, which is its own.
func (i *Inventory) supervisor(ctx context.Context, client supervisorv1.SupervisorClient, seen map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	list, err := client.List(ctx, &supervisorv1.ListRequest{})
	if err != nil {
		return err
	}
	if version := list.GetSupervisorVersion(); version != "" {
		i.publisher.Publish(time.Now(), map[string]any{"/system/state/software-version": version})
		if !seen[supervisorName] {
			seen[supervisorName] = true
			i.publish(supervisorName, version, "Starts, watches and restarts the components", "ACTIVE")
		}
	}
	return nil
}

func (i *Inventory) publish(name, version, summary, oper string) {
	top := path(name) + "/state/"
	updates := map[string]any{
		top + "name":             name,
		top + "type":             "openconfig-platform-types:SOFTWARE_MODULE",
		top + "software-version": version,
		top + "oper-status":      "openconfig-platform-types:" + oper,
		top + "description":      nil,
	}
	if summary != "" {
		updates[top+"description"] = summary
	}
	i.known[name] = true
	i.publisher.Publish(time.Now(), updates)
}

// sweep withdraws components that are no longer there.
func (i *Inventory) sweep(seen map[string]bool) {
	for name := range i.known {
		if !seen[name] {
			delete(i.known, name)
			i.publisher.Publish(time.Now(), nil, path(name))
		}
	}
}

func path(name string) string {
	return "/components/component[name=" + strings.NewReplacer("\\", "\\\\", "]", "\\]").Replace(name) + "]"
}

// status is a component's phase as openconfig-platform-types names it.
func status(p supervisorv1.Phase) string {
	switch p {
	case supervisorv1.Phase_PHASE_READY:
		return "ACTIVE"
	case supervisorv1.Phase_PHASE_STOPPED:
		return "DISABLED"
	}
	return "INACTIVE"
}
