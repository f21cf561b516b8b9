// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine runs etcd inside the process and hands its parts to the store.
//
// It promises: an Open that succeeded holds the data directory alone; nothing listens on any socket, TCP or
// unix; what a caller was told is written is on disk (one fdatasync of the write-ahead log each batch); a
// directory that is damaged or held by another process gives an error that names the file and what to do.
// Methods are safe for concurrent use. After Close every call fails.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

const (
	// MaxTxnOps bounds the operations of one etcd transaction: what a caller may send and the store's own records.
	MaxTxnOps = 20_000 + 16
	// MaxRequestBytes bounds one etcd request.
	MaxRequestBytes = 16 << 20
	// walSegmentBytes is the size of a log segment. The default, 64 MiB, is written out ahead and is much for flash.
	walSegmentBytes = 4 << 20
	// snapshotCount is how many entries the log keeps before etcd snapshots: it bounds replay at start.
	snapshotCount = 5_000
	// catchUpEntries stay in memory after a snapshot; a single member has nobody to catch up.
	catchUpEntries = 200
	readyTimeout   = 20 * time.Second
	memberName     = "ashlar"
)

// Config of an engine.
type Config struct {
	// Dir is the data directory; it is made if absent.
	Dir string
	Log *slog.Logger
	// QuotaBytes is the size of the database file past which etcd refuses every write but deletes.
	QuotaBytes int64
}

// Engine is a running etcd member.
type Engine struct {
	dir    string
	lock   *os.File
	etcd   *embed.Etcd
	client *clientv3.Client
	ready  atomic.Bool
	close  sync.Once
}

// Open starts etcd on the data directory and waits until it has a leader.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := acquire(filepath.Join(cfg.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	e := &Engine{dir: cfg.Dir, lock: lock}
	if err := e.start(ctx, cfg); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Engine) start(ctx context.Context, cfg Config) error {
	data := filepath.Join(cfg.Dir, "etcd")
	if err := inspect(data); err != nil {
		return err
	}
	// The segment size is a variable of etcd's own; every engine of a process sets the same value.
	wal.SegmentSizeBytes = walSegmentBytes
	etcd, err := launch(settings(data, cfg, &e.ready))
	if err != nil {
		return diagnose(data, err)
	}
	e.etcd = etcd
	timer := time.NewTimer(readyTimeout)
	defer timer.Stop()
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		return fmt.Errorf("etcd: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("etcd in %s is not ready after %v: the disk is too slow or stuck", data, readyTimeout)
	}
	e.client = v3client.New(etcd.Server)
	e.ready.Store(true)
	return nil
}

// launch turns the panics by which etcd reports unreadable files into errors.
func launch(cfg *embed.Config) (etcd *embed.Etcd, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return embed.StartEtcd(cfg)
}

func settings(data string, cfg Config, ready *atomic.Bool) *embed.Config {
	c := embed.NewConfig()
	c.Name, c.Dir = memberName, data
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	// A member must advertise something. The name cannot be resolved (RFC 6761, section 6.4) and nobody asks.
	c.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "member.invalid:2380"}}
	c.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "member.invalid:2379"}}
	c.InitialCluster = c.InitialClusterFromName(memberName)
	c.TickMs, c.ElectionMs = 10, 100
	c.MaxTxnOps, c.MaxRequestBytes = MaxTxnOps, MaxRequestBytes
	c.QuotaBackendBytes = cfg.QuotaBytes
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotCount, catchUpEntries
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, "0"
	c.WarningApplyDuration, c.WarningUnaryRequestDuration = time.Second, 2*time.Second
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger(cfg.Log, ready))
	return c
}

// KV writes and reads through etcd's own checks.
func (e *Engine) KV() clientv3.KV { return e.client.KV }

// Leases grants and revokes.
func (e *Engine) Leases() clientv3.Lease { return e.client.Lease }

// Server is the member itself.
func (e *Engine) Server() *etcdserver.EtcdServer { return e.etcd.Server }

// History is the store of revisions: local reads at a revision, and watch streams.
func (e *Engine) History() mvcc.WatchableKV { return e.etcd.Server.KV() }

// Linearizable returns when everything acknowledged before the call is in History.
func (e *Engine) Linearizable(ctx context.Context) error {
	return e.etcd.Server.LinearizableReadNotify(ctx)
}

// Stopped is closed when etcd has stopped.
func (e *Engine) Stopped() <-chan struct{} { return e.etcd.Server.StopNotify() }

// Failed delivers the error that ended etcd, if one did.
func (e *Engine) Failed() <-chan error { return e.etcd.Err() }

// Version is etcd's release.
func (e *Engine) Version() string { return "etcd " + version.Version }

// Size returns the bytes of the database file and how many of them are in use.
func (e *Engine) Size() (file, used int64) {
	b := e.etcd.Server.Backend()
	return b.Size(), b.SizeInUse()
}

// Defragment rewrites the database file without its holes. Writes wait meanwhile.
func (e *Engine) Defragment() error {
	if err := e.etcd.Server.Backend().Defrag(); err != nil {
		return fmt.Errorf("defragment: %w", err)
	}
	return nil
}

// Close stops etcd and lets the data directory go. It may be called again.
func (e *Engine) Close() {
	e.close.Do(func() {
		if e.client != nil {
			e.client.Close()
		}
		if e.etcd != nil {
			e.etcd.Close()
		}
		e.lock.Close()
	})
}

// ErrLocked is in the error's chain when another process holds the data directory.
var ErrLocked = errors.New("held by another process")
