// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ashlar-nos/ashlar/compat-tests/internal/contract"
	"github.com/ashlar-nos/ashlar/compat-tests/internal/evidence"
	"github.com/ashlar-nos/ashlar/compat-tests/internal/play"
	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/intent"
	"github.com/ashlar-nos/ashlar/lab/repository"
	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	"github.com/ashlar-nos/ashlar/rpm"
)

// Options say what to verify.
type Options struct {
	// Build is the directory with what was built, Repository the packages, Keys the directory with the key that signs.
	Build, Repository, Keys string
	// Out is where documents go; empty means evidence/ in the repository.
	Out string
	// Report gets a table.
	Report io.Writer
}

// ErrFailed says that an edge is red.
var ErrFailed = errors.New("not everything that a consumer relies on is there")

// Verify makes the results that are missing. It returns ErrFailed when one of all results is a failure.
func Verify(ctx context.Context, o Options) error {
	key, err := rpm.LoadKey(o.Keys)
	if err != nil {
		return err
	}
	r, err := repository.Open(o.Repository)
	if err != nil {
		return err
	}
	all, err := members(r, key.Keyring(), filepath.Join(o.Build, "compat"))
	if err != nil {
		return err
	}
	if o.Out == "" {
		o.Out = filepath.Join(r.Directory, "evidence")
	}
	results, err := evidence.Open(o.Out, key.Keyring())
	if err != nil {
		return err
	}
	table := &table{w: tabwriter.NewWriter(o.Report, 0, 0, 2, ' ', 0)}
	table.head()
	for n, set := range columns(r) {
		v := verifier{Options: o, key: key, results: results, table: table}
		if err := v.column(ctx, fmt.Sprintf("compat-%d-%d", os.Getpid(), n), set, edges(all, in(set, all))); err != nil {
			return err
		}
	}
	return table.end()
}

// verifier verifies the edges of one set.
type verifier struct {
	Options
	key     *rpm.Key
	results *evidence.Directory
	table   *table
}

// deviceLimit bounds the start of a device and its configuration.
const deviceLimit = 60 * time.Second

// column runs a device of the set if a result is missing, and makes it.
func (v *verifier) column(ctx context.Context, name string, set []string, all []edge) (err error) {
	var open []edge
	for _, e := range all {
		if doc, known := v.results.Has(evidence.Key{ContractHash: e.file.Hash, ProviderDigest: e.provider.digest}); known {
			v.table.row(doc, true)
		} else {
			open = append(open, e)
		}
	}
	if len(open) == 0 {
		return nil
	}
	d, err := startDevice(ctx, v.Options, name, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end(context.WithoutCancel(ctx), err)) }()
	documents := make([]evidence.Document, len(open))
	for _, last := range []bool{false, true} {
		for i, e := range open {
			if err := d.play(ctx, e, last, &documents[i]); err != nil {
				return err
			}
		}
	}
	for i, e := range open {
		doc := documents[i]
		doc.Type, doc.Suite, doc.Profile, doc.Time = evidence.Type, evidence.Suite, evidence.Profile, time.Now().UTC().Truncate(time.Second)
		doc.Consumer, doc.Contract, doc.ContractHash = e.file.Consumer, e.file.Contract, e.file.Hash
		doc.Provider, doc.ProviderVersion, doc.ProviderDigest = e.provider.component, e.provider.version, e.provider.digest
		doc.Result = evidence.Passed
		if len(doc.Failures) > 0 {
			doc.Result = evidence.Failed
		}
		v.table.row(doc, false)
		if err := v.results.Add(doc, v.key); err != nil {
			return err
		}
	}
	return nil
}

// device is a device under test.
type device struct {
	lab         *instance.Lab
	connections map[string]*grpc.ClientConn
}

// startDevice installs a set and gives it the lab's configuration: every provider's state begins from there.
func startDevice(ctx context.Context, o Options, name string, set []string) (*device, error) {
	ctx, cancel := context.WithTimeout(ctx, deviceLimit)
	defer cancel()
	lab, err := instance.Install(ctx, o.Build, name, instance.Packages{Repository: o.Repository, Versions: set})
	if err != nil {
		return nil, err
	}
	d := &device{lab: lab, connections: map[string]*grpc.ClientConn{}}
	arguments := []string{"set"}
	for _, update := range append(intent.Interfaces(), intent.Routes()...) {
		arguments = append(arguments, "--update", update)
	}
	if out, err := lab.Operate(ctx, arguments...); err != nil {
		err = fmt.Errorf("%w: %s", err, out)
		return nil, errors.Join(err, d.end(context.WithoutCancel(ctx), err))
	}
	return d, nil
}

func (d *device) end(ctx context.Context, failure error) (err error) {
	for _, conn := range d.connections {
		err = errors.Join(err, conn.Close())
	}
	if failure != nil {
		err = errors.Join(err, d.lab.KeepLogs())
	}
	return errors.Join(err, d.lab.Close(), instance.Down(ctx, d.lab.Build(), d.lab.Name))
}

func (d *device) socket(name string) (grpc.ClientConnInterface, error) {
	if conn, ok := d.connections[name]; ok {
		return conn, nil
	}
	conn, err := grpc.NewClient("unix://"+d.lab.Device.Layout.Socket(name), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		d.connections[name] = conn
	}
	return conn, err
}

// play plays one edge and adds to its document.
func (d *device) play(ctx context.Context, e edge, last bool, doc *evidence.Document) error {
	p, err := d.player(ctx, e)
	if err != nil {
		return err
	}
	played, failures := p.Play(ctx, e.file, func(i contract.Interaction) bool { return i.Last == last })
	doc.Interactions += played
	for _, f := range failures {
		doc.Failures = append(doc.Failures, f.String())
	}
	return ctx.Err()
}

// player returns a player against the provider of an edge.
func (d *device) player(ctx context.Context, e edge) (*play.Player, error) {
	api, _ := e.provider.manifest.Socket("api")
	conn, err := d.socket(api.Unix)
	if e.file.Contract == lifecycleContract {
		conn, err = d.lifecycle(ctx, e.provider.component, api.Unix)
	}
	return &play.Player{Provider: conn, Level: e.level, Socket: d.socket}, err
}

const lifecycleContract = "ashlar.lifecycle.v1"

// lifecycle connects to where the supervisor speaks to a component: a socket of its own, one for each of the two processes
// that a component may have. The active process is the one with the newest token. Without such a socket it is the api.
func (d *device) lifecycle(ctx context.Context, component, api string) (grpc.ClientConnInterface, error) {
	sockets, err := filepath.Glob(d.lab.Device.Layout.Socket(component + ".life.*.sock"))
	if err != nil {
		return nil, err
	}
	var active grpc.ClientConnInterface
	var newest uint64
	for _, path := range sockets {
		conn, err := d.socket(filepath.Base(path))
		if err != nil {
			return nil, err
		}
		limit, cancel := context.WithTimeout(ctx, time.Second)
		r, err := lifecyclev1.NewLifecycleClient(conn).Describe(limit, &lifecyclev1.DescribeRequest{})
		cancel()
		if err == nil && r.GetFencingToken() > newest {
			active, newest = conn, r.GetFencingToken()
		}
	}
	if active != nil {
		return active, nil
	}
	return d.socket(api)
}
