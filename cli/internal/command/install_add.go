// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

const (
	packageEnding   = ".rpm"
	resultEnding    = ".json"
	signatureEnding = ".json.asc"
)

// evidenceDirectory is where a repository keeps contract-test results.
const evidenceDirectory = "evidence"

// rpmMagic begins every RPM file.
const rpmMagic = "\xed\xab\xee\xdb"

// uploadChunk is how much of a file goes into one message; the contract allows 1 MiB.
const uploadChunk = 512 << 10

func (s *session) installAdd() *cobra.Command {
	return &cobra.Command{
		Use:   "add FILE|DIRECTORY...",
		Short: "Bring packages and contract-test results into the device's store",
		Long: `add sends packages (*.rpm), contract-test results (*.json) and their signatures (*.json.asc) to the device, which
verifies each. Of a repository directory it takes the packages and what is in evidence/. Nothing starts to run; a file that is
refused does not keep the others out, and makes the exit code 1.

` + exitCodes,
		Args: between(1, -1, "FILE or DIRECTORY"),
		RunE: func(c *cobra.Command, args []string) error { return s.runAdd(c.Context(), args) },
	}
}

func (s *session) runAdd(ctx context.Context, args []string) error {
	var files []string
	for _, a := range args {
		found, err := uploads(a)
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	d, err := s.depot()
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(ctx, max(longCall, s.timeout))
	defer cancel()
	resp, err := upload(ctx, d, files)
	if err != nil {
		return d.explain(ctx, err)
	}
	return s.printAdded(resp)
}

// uploads are the files that an argument stands for.
func uploads(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail.Usagef("%s: there is no such file or directory", arg)
	case err != nil:
		return nil, fail.Usagef("%v", err)
	case info.IsDir():
		return directoryUploads(arg)
	case !uploadable(arg):
		return nil, fail.Usagef("%s: want a package (*%s), a contract-test result (*%s), its signature (*%s) or a directory of these",
			arg, packageEnding, resultEnding, signatureEnding)
	}
	return []string{arg}, isPackage(arg)
}

func uploadable(name string) bool {
	return strings.HasSuffix(name, packageEnding) || strings.HasSuffix(name, resultEnding) || strings.HasSuffix(name, signatureEnding)
}

// isPackage refuses a file that is called *.rpm and is none, before it is sent.
func isPackage(file string) error {
	if !strings.HasSuffix(file, packageEnding) {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return fail.Usagef("%v", err)
	}
	defer f.Close()
	begin := make([]byte, len(rpmMagic))
	if _, err := io.ReadFull(f, begin); err != nil || string(begin) != rpmMagic {
		return fail.Usagef("%s is no RPM package, whatever its name says; build one with `make packages`", file)
	}
	return nil
}

// directoryUploads are the packages below a directory, and results with signatures: all of evidence/, elsewhere those that have
// their signature beside them, since a repository has other JSON too.
func directoryUploads(dir string) ([]string, error) {
	var out []string
	packages := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != dir && (e.Name() == "repodata" || strings.HasPrefix(e.Name(), ".")):
			return filepath.SkipDir
		case e.IsDir() || !uploadable(path):
			return nil
		case strings.HasSuffix(path, packageEnding):
			packages++
			out = append(out, path)
			return isPackage(path)
		case filepath.Base(filepath.Dir(path)) == evidenceDirectory || signed(path):
			out = append(out, path)
		}
		return nil
	})
	var known *fail.Error
	switch {
	case errors.As(err, &known):
		return nil, known
	case err != nil:
		return nil, fail.Usagef("%v", err)
	case len(out) == 0:
		return nil, fail.Usagef("%s: there are no packages (*%s) and no contract-test results below it; `make packages` makes a repository", dir, packageEnding)
	}
	slices.Sort(out)
	return out, nil
}

// signed reports whether a result and its signature stand beside each other.
func signed(path string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(path, ".asc"), resultEnding)
	for _, ending := range []string{resultEnding, signatureEnding} {
		if _, err := os.Stat(base + ending); err != nil {
			return false
		}
	}
	return true
}

func upload(ctx context.Context, d *depot, files []string) (*pkgv1.AddResponse, error) {
	stream, err := d.Add(ctx)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		err := sendFile(stream.Send, file)
		if errors.Is(err, io.EOF) {
			break // the device ended the stream: CloseAndRecv says why
		}
		if err != nil {
			return nil, err
		}
	}
	return stream.CloseAndRecv()
}

func sendFile(send func(*pkgv1.AddRequest) error, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fail.Usagef("%v", err)
	}
	defer f.Close()
	if err := send(&pkgv1.AddRequest{Message: &pkgv1.AddRequest_Name{Name: filepath.Base(file)}}); err != nil {
		return err
	}
	for {
		chunk := make([]byte, uploadChunk)
		n, err := io.ReadFull(f, chunk)
		if n > 0 {
			if err := send(&pkgv1.AddRequest{Message: &pkgv1.AddRequest_Data{Data: chunk[:n]}}); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fail.Usagef("%v", err)
		}
	}
}

// addedInfo is a file as add prints it for programs.
type addedInfo struct {
	File    string       `json:"file"`
	Result  string       `json:"result"`
	Reason  string       `json:"reason,omitempty"`
	Package *packageInfo `json:"package,omitempty"`
}

func addedOf(f *pkgv1.AddedFile) addedInfo {
	i := addedInfo{File: f.GetName(), Result: "added", Reason: f.GetRefusal()}
	switch {
	case f.GetRefusal() != "":
		i.Result = "refused"
	case f.GetKnown():
		i.Result = "known"
	}
	if p := f.GetPackage(); p != nil {
		info := packageOf(p)
		i.Package = &info
	}
	return i
}

// printAdded shows each package and whatever was refused, and the number of the other files.
func (s *session) printAdded(resp *pkgv1.AddResponse) error {
	g := render.Grid{Columns: []string{"FILE", "COMPONENT", "VERSION", "DIGEST", "SIGNER", "RESULT"}}
	data := []addedInfo{}
	var others, known int
	var refused []string
	for _, f := range resp.GetFiles() {
		i := addedOf(f)
		data = append(data, i)
		switch {
		case i.Result == "refused":
			refused = append(refused, i.File)
			g.Add(render.Text(i.File), render.Text(""), render.Text(""), render.Text(""), render.Text(""), render.Cell{Text: "refused: " + i.Reason, Mood: render.Bad})
		case i.Package != nil:
			g.Add(render.Text(i.File), render.Text(i.Package.Component), render.Text(i.Package.Version), render.Text(short(i.Package.Digest)),
				render.Text(i.Package.Signer), render.Text(i.Result))
		default:
			others++
			if i.Result == "known" {
				known++
			}
		}
	}
	if err := s.writer().Answer(g, data); err != nil {
		return err
	}
	if others > 0 && s.format == render.Table {
		fmt.Fprintf(s.Out, "and %s, %d of them known already\n", count(others, "contract-test file", "contract-test files"), known)
	}
	if len(refused) > 0 {
		return fail.Refusef("the others are in the store; get the refused ones again from their signer, then `ashlar install add` them",
			"%s refused: %s", count(len(refused), "file was", "files were"), strings.Join(refused, ", "))
	}
	return nil
}
