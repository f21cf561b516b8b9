// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/ashlar-nos/ashlar/services/kit/layout"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
	"github.com/ashlar-nos/ashlar/services/kit/peer"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
	"github.com/ashlar-nos/ashlar/services/kit/telemetry"
)

// EnvTree names the environment variable with the component's directory in its generation.
const EnvTree = "ASHLAR_TREE"

// The names of the sockets that the kit itself serves.
const (
	socketAPI     = "api"
	socketMetrics = "metrics"
	// socketLifecycle is the process's own, not in any manifest: there the supervisor speaks to it, and to no other
	// version of the component, from the very start.
	socketLifecycle = "lifecycle"
)

// Runtime is what the kit gives to a service. Its fields are set before the constructor runs and never change;
// its methods are safe for concurrent use.
type Runtime struct {
	Manifest *manifest.Manifest
	Layout   layout.Layout
	// Tree is the component's directory in the generation, with component.yaml and bin/.
	Tree string
	Log  *slog.Logger
	// Server takes the component's contracts; they are served once the constructor has returned and the component
	// has its token.
	Server  grpc.ServiceRegistrar
	Metrics *prometheus.Registry
	// Telemetry publishes the state paths that the component owns.
	Telemetry *telemetry.Publisher
	// Policy tells which component a call comes from.
	Policy *peer.Policy

	sockets []inherited
	token   *token
	started time.Time
	service Service
	clients sync.Map // contract → *grpc.ClientConn
	rpc     *rpcMetrics
	// broken says why the process cannot go on.
	broken chan error
	stage  *stage
}

func newRuntime(m *manifest.Manifest, env environment, logs io.Writer) *Runtime {
	rt := &Runtime{
		Manifest:  m,
		Layout:    env.layout,
		Tree:      env.tree,
		Log:       slog.New(slog.NewJSONHandler(logs, nil)).With("component", m.Name, "version", m.Version),
		Metrics:   prometheus.NewRegistry(),
		Telemetry: telemetry.NewPublisher(),
		Policy:    peer.NewPolicy(env.layout.Roster()),
		sockets:   env.listeners,
		token:     newToken(),
		started:   time.Now(),
		broken:    make(chan error, 1),
	}
	rt.rpc = newRPCMetrics(rt.Metrics)
	rt.stage = newStage(rt)
	return rt
}

// Listener returns a socket that the supervisor holds for the component, by its name in the manifest. Each
// call returns a listener of its own on the same socket. Closing it leaves the socket open for a successor.
// A component shares its sockets with the version that it takes over from: it must not accept before it has its
// token, nor while it is frozen. Front does that for gRPC.
func (rt *Runtime) Listener(name string) (net.Listener, error) {
	for _, s := range rt.sockets {
		if s.name == name {
			l, err := net.FileListener(s.file)
			if err != nil {
				return nil, fmt.Errorf("socket %q: %w", name, err)
			}
			return l, nil
		}
	}
	return nil, fmt.Errorf("socket %q was not handed over: is it in component.yaml?", name)
}

// Roster tells who is on the device, as of now.
func (rt *Runtime) Roster() (roster.Roster, error) { return roster.Load(rt.Layout.Roster()) }

// Token waits until the supervisor has activated the component and returns its newest fencing token.
func (rt *Runtime) Token(ctx context.Context) (uint64, error) { return rt.token.wait(ctx) }

// Own runs a configuration owner: it attaches to the configuration service, again whenever the stream
// ends, until ctx does.
func (rt *Runtime) Own(ctx context.Context, o *owner.Owner) error {
	conn, err := rt.Dial("ashlar.config.v1")
	if err != nil {
		return err
	}
	return o.Run(ctx, rt.Log, conn, rt.Token)
}

// Front returns a gRPC server of the service's own on one of the component's sockets. The constructor calls it.
func (rt *Runtime) Front(socket string, options FrontOptions) (*Front, error) {
	if !rt.has(socket) {
		return nil, fmt.Errorf("socket %q was not handed over: is it in component.yaml?", socket)
	}
	return rt.stage.add(rt.newFront(socket, options, rt.stage.calls)), nil
}

func (rt *Runtime) newFront(socket string, options FrontOptions, calls *calls) *Front {
	return &Front{
		name: socket, options: options, calls: calls, failed: rt.fail,
		listen:  func() (net.Listener, error) { return rt.Listener(socket) },
		streams: map[string]bool{}, info: map[string]grpc.ServiceInfo{},
	}
}

func (rt *Runtime) has(socket string) bool {
	return slices.ContainsFunc(rt.sockets, func(s inherited) bool { return s.name == socket })
}

// fail ends the process; the first reason counts.
func (rt *Runtime) fail(err error) {
	select {
	case rt.broken <- err:
	default:
	}
}
