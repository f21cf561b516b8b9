// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package calls is an automation client that never stops: it sets a leaf by gNMI, reads it back, and
// checks that what was acknowledged is there. It counts calls made, failed and retried.
//
// A call is made again while it answers UNAVAILABLE, for at most five seconds, and then has failed. So
// has one with any other error at once, and one that reads anything but what was last acknowledged. A client that
// is strict makes no call again: whatever is not OK has failed.
package calls

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Patience is how long a call may answer UNAVAILABLE until it has failed.
const Patience = 5 * time.Second

// retryPause lies between two attempts of one call, pace between two calls.
const (
	retryPause = 50 * time.Millisecond
	pace       = 25 * time.Millisecond
)

// Login is how to reach a device by TLS.
type Login struct {
	Credentials    credentials.TransportCredentials
	User, Password string
}

// Client makes calls. Run and Stats may be used at once.
type Client struct {
	connection *grpc.ClientConn
	gnmi       gnmi.GNMIClient
	login      *Login
	path       *gnmi.Path

	// strict clients do not try again.
	strict atomic.Bool

	mu    sync.Mutex
	stats Stats
	// acknowledged is the value of the last Set that was; after one that failed nobody knows.
	acknowledged string
	unknown      bool
}

// Stats is what happened so far.
type Stats struct {
	Made, Failed, Retried int
	// Sets of the calls made were changes.
	Sets int
	// Latencies of the calls that succeeded, retries included, in the order made.
	Latencies []time.Duration
	// Errors holds the first few failures.
	Errors []error
}

// mostErrors bounds Stats.Errors.
const mostErrors = 5

// New connects to a gNMI target, for example unix:///run/ashlar/gnmi.sock, or host:port with a login.
// leaf is a string leaf that is the client's alone while it runs.
func New(target, leaf string, login *Login) (*Client, error) {
	path, err := gpath.Parse(leaf)
	if err != nil {
		return nil, err
	}
	transport := insecure.NewCredentials()
	if login != nil {
		transport = login.Credentials
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(transport),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: retryPause, Multiplier: 1, MaxDelay: retryPause},
			MinConnectTimeout: Patience,
		}))
	if err != nil {
		return nil, err
	}
	return &Client{connection: connection, gnmi: gnmi.NewGNMIClient(connection), login: login, path: path}, nil
}

// Strict ends the client's patience, or gives it back.
func (c *Client) Strict(on bool) { c.strict.Store(on) }

// Run calls until ctx ends, and finishes the call it is in.
func (c *Client) Run(ctx context.Context) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for n := 1; ; n++ {
		c.call(context.WithoutCancel(ctx), true, c.set(fmt.Sprintf("automation was here %d times", n)))
		c.call(context.WithoutCancel(ctx), false, c.get)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// call makes one call with its retries and keeps the books.
func (c *Client) call(ctx context.Context, set bool, once func(context.Context) error) {
	ctx, cancel := context.WithTimeout(c.authenticated(ctx), Patience)
	defer cancel()
	begin := time.Now()
	err := once(ctx)
	retries := 0
	for ; status.Code(err) == codes.Unavailable && ctx.Err() == nil && !c.strict.Load(); retries++ {
		pause(ctx)
		if next := once(ctx); ctx.Err() == nil || next == nil {
			err = next
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Made++
	c.stats.Retried += retries
	if set {
		c.stats.Sets++
	}
	if err == nil {
		c.stats.Latencies = append(c.stats.Latencies, time.Since(begin))
		return
	}
	c.stats.Failed++
	if len(c.stats.Errors) < mostErrors {
		c.stats.Errors = append(c.stats.Errors, fmt.Errorf("after %v and %d retries: %w", time.Since(begin).Round(time.Millisecond), retries, err))
	}
}

func pause(ctx context.Context) {
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (c *Client) authenticated(ctx context.Context) context.Context {
	if c.login == nil || c.login.User == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "username", c.login.User, "password", c.login.Password)
}

func (c *Client) set(value string) func(context.Context) error {
	return func(ctx context.Context) error {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		_, err = c.gnmi.Set(ctx, &gnmi.SetRequest{Update: []*gnmi.Update{{
			Path: c.path,
			Val:  &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: text}},
		}}})
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.unknown = err != nil; !c.unknown {
			c.acknowledged = value
		}
		return err
	}
}

// errLost: what was acknowledged is not there.
var errLost = errors.New("an acknowledged change is missing")

func (c *Client) get(ctx context.Context) error {
	answer, err := c.gnmi.Get(ctx, &gnmi.GetRequest{Path: []*gnmi.Path{c.path}, Encoding: gnmi.Encoding_JSON_IETF})
	if err != nil {
		return err
	}
	var got string
	for _, notification := range answer.GetNotification() {
		for _, update := range notification.GetUpdate() {
			if err := json.Unmarshal(update.GetVal().GetJsonIetfVal(), &got); err != nil {
				return fmt.Errorf("get: %w", err)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if got != c.acknowledged && !c.unknown {
		return fmt.Errorf("%w: read %q, acknowledged was %q", errLost, got, c.acknowledged)
	}
	return nil
}

// Stats returns the books so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Latencies, s.Errors = slices.Clone(s.Latencies), slices.Clone(s.Errors)
	return s
}

// Since is what happened between an earlier Stats and this one.
func (s Stats) Since(earlier Stats) Stats {
	return Stats{
		Made: s.Made - earlier.Made, Failed: s.Failed - earlier.Failed, Retried: s.Retried - earlier.Retried,
		Sets: s.Sets - earlier.Sets, Latencies: s.Latencies[len(earlier.Latencies):], Errors: s.Errors,
	}
}

// Quantile returns the latency below which a share q of the successful calls lie; 0 without calls.
func (s Stats) Quantile(q float64) time.Duration {
	if len(s.Latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Latencies))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Close ends the connection. Run has returned.
func (c *Client) Close() error { return c.connection.Close() }
