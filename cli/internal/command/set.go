// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"encoding/json"
	"io"
	"os"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/flat"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// changes are the flags of set.
type changes struct {
	updates, replaces, deletes, files []string
}

// maxFile bounds a configuration file, in bytes.
const maxFile = 128 << 20

func (s *session) set() *cobra.Command {
	var ch changes
	c := &cobra.Command{
		Use:   "set [--update PATH=VALUE] [--replace PATH=JSON] [--delete PATH] [-f FILE] ...",
		Short: "Change the configuration by gNMI, all at once or not at all",
		Long: `set changes the configuration. Everything on one command line is one transaction: deletes first, then
replaces, then updates. When it returns 0 the change is on disk and in effect; when it returns 1 nothing changed.

A VALUE that is JSON is taken as it is, any other as a string; quote a string that looks like JSON: '"42"'.
-f merges a JSON document of the root (RFC 7951), as "ashlar show running-config" prints it; "-" reads standard input.

  ashlar set --update /system/config/hostname=leaf1
  ashlar set --update '/interfaces/interface[name=ge0]/config={"name": "ge0", "mtu": 1500}' -f addresses.json
  ashlar set --delete '/interfaces/interface[name=ge9]'`,
		Args: between(0, 0, "flags only: --update PATH=VALUE, --replace PATH=JSON, --delete PATH, -f FILE"),
		RunE: func(c *cobra.Command, _ []string) error { return s.runSet(c.Context(), ch) },
	}
	// Not the slice flags that split at commas: values hold commas.
	f := c.Flags()
	f.StringArrayVarP(&ch.updates, "update", "u", nil, "merge VALUE at PATH")
	f.StringArrayVarP(&ch.replaces, "replace", "r", nil, "put JSON in the place of everything at PATH")
	f.StringArrayVarP(&ch.deletes, "delete", "d", nil, "remove everything at PATH")
	f.StringArrayVarP(&ch.files, "file", "f", nil, "merge a JSON document of the root")
	return c
}

func (s *session) request(ch changes) (*gnmi.SetRequest, error) {
	r := &gnmi.SetRequest{}
	var err error
	if r.Delete, err = parsePaths(ch.deletes); err != nil {
		return nil, err
	}
	for _, text := range ch.replaces {
		u, err := flat.Assignment(text)
		if err != nil {
			return nil, fail.Usagef("--replace: %v", err)
		}
		r.Replace = append(r.Replace, u)
	}
	for _, name := range ch.files {
		u, err := s.document(name)
		if err != nil {
			return nil, err
		}
		r.Update = append(r.Update, u)
	}
	for _, text := range ch.updates {
		u, err := flat.Assignment(text)
		if err != nil {
			return nil, fail.Usagef("--update: %v", err)
		}
		r.Update = append(r.Update, u)
	}
	if len(r.Delete)+len(r.Replace)+len(r.Update) == 0 {
		return nil, fail.Usagef("nothing to change: want --update PATH=VALUE, --replace PATH=JSON, --delete PATH or -f FILE")
	}
	return r, nil
}

// document reads a root document.
func (s *session) document(name string) (*gnmi.Update, error) {
	in := s.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fail.Usagef("-f: %v", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	switch {
	case err != nil:
		return nil, fail.Usagef("-f %s: %v", name, err)
	case len(text) > maxFile:
		return nil, fail.Usagef("-f %s: more than %d MiB", name, maxFile>>20)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, fail.Usagef("-f %s: want one JSON object: %v", name, err)
	}
	return &gnmi.Update{Path: &gnmi.Path{}, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: text}}}, nil
}

// done is one operation as set prints it.
type done struct {
	Operation string `json:"operation"`
	Path      string `json:"path"`
}

func (s *session) runSet(ctx context.Context, ch changes) error {
	r, err := s.request(ch)
	if err != nil {
		return err
	}
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.Close()
	client, place, err := d.GNMI()
	if err != nil {
		return err
	}
	var resp *gnmi.SetResponse
	err = s.insist(ctx, d, func(ctx context.Context) (err error) {
		resp, err = client.Set(ctx, r)
		return err
	})
	if err != nil {
		return fail.Explain(err, place)
	}
	g, data := render.Grid{Columns: []string{"OPERATION", "PATH"}}, []done{}
	for _, u := range resp.GetResponse() {
		op, path := operation(u.GetOp()), gpath.String(flat.Join(resp.GetPrefix(), u.GetPath()))
		g.Add(render.Cell{Text: op, Mood: render.Good}, render.Text(path))
		data = append(data, done{op, path})
	}
	return s.writer().Answer(g, data)
}

func operation(op gnmi.UpdateResult_Operation) string {
	switch op {
	case gnmi.UpdateResult_DELETE:
		return "deleted"
	case gnmi.UpdateResult_REPLACE:
		return "replaced"
	case gnmi.UpdateResult_UPDATE:
		return "updated"
	}
	return op.String()
}
