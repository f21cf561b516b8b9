// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	pkgv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
)

func (s *session) showWhich() *cobra.Command {
	return &cobra.Command{
		Use:   "which [COMPONENT|FILE]",
		Short: "Show which package a component or a file is from",
		Long: `which shows the package that a component runs from, or that an installed file belongs to, and the generations that it is
in. Without an argument it shows the package of every component that runs.`,
		Args: between(0, 1, "at most one COMPONENT or FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			resp, err := s.fetchShow(c.Context())
			if err != nil {
				return err
			}
			return s.runWhich(resp, args)
		},
		ValidArgsFunction: s.completeComponents,
	}
}

// whichInfo is a package and where it is used, for programs.
type whichInfo struct {
	packageInfo
	Generations []uint64 `json:"generations"`
}

func (s *session) runWhich(resp *pkgv1.ShowResponse, args []string) error {
	var digests []string
	if len(args) == 0 {
		for _, m := range resp.GetRunning() {
			digests = append(digests, m.GetDigest())
		}
	} else {
		digest, err := whose(resp, args[0])
		if err != nil {
			return err
		}
		digests = []string{digest}
	}
	data := []whichInfo{}
	g := render.Grid{Columns: []string{"COMPONENT", "VERSION", "PACKAGE", "RUNS", "COMMITTED", "ADDED", "GENERATIONS", "SIGNER"}}
	for _, digest := range digests {
		i := whichOf(resp, digest)
		data = append(data, i)
		g.Add(render.Text(i.Component), render.Text(i.Version), render.Text(i.Digest), yesNo(i.Active), yesNo(i.Committed), render.Text(moment(i.Added)),
			render.Text(numbers(i.Generations)), render.Text(i.Signer))
	}
	return s.writer().Answer(g, data)
}

func whichOf(resp *pkgv1.ShowResponse, digest string) whichInfo {
	i := whichInfo{packageInfo: packageInfo{Digest: digest}, Generations: []uint64{}}
	for _, p := range resp.GetPackages() {
		if p.GetDigest() == digest {
			i.packageInfo = packageOf(p)
		}
	}
	for _, g := range resp.GetGenerations() {
		for _, m := range g.GetMembers() {
			if m.GetDigest() == digest {
				i.Generations = append(i.Generations, g.GetId())
			}
		}
	}
	return i
}

func numbers(ids []uint64) string {
	var out []string
	for _, id := range ids {
		out = append(out, number(id))
	}
	return strings.Join(out, ", ")
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// whose is the digest of the package that a component runs from, or that a file in the store belongs to.
func whose(resp *pkgv1.ShowResponse, arg string) (string, error) {
	if strings.Contains(arg, string(filepath.Separator)) {
		return fileOwner(resp, arg)
	}
	for _, m := range resp.GetRunning() {
		if m.GetComponent() == arg {
			return m.GetDigest(), nil
		}
	}
	if err := shelfOf(resp).known(wish{component: arg}); err != nil {
		if _, e := os.Stat(arg); e == nil {
			return fileOwner(resp, arg)
		}
		return "", err
	}
	return "", fail.Refusef("its packages in the store: "+shelfOf(resp).versions(arg), "%s does not run", arg)
}

// fileOwner finds the digest among the directories above a file, after symbolic links: generations are made of them.
func fileOwner(resp *pkgv1.ShowResponse, file string) (string, error) {
	path, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", fail.Usagef("%s: there is no such file", file)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", fail.Usagef("%v", err)
	}
	for _, element := range strings.Split(path, string(filepath.Separator)) {
		if digestForm.MatchString(element) && whichOf(resp, element).Component != "" {
			return element, nil
		}
	}
	return "", fail.Refusef(situationOf(resp, time.Now()).words(), "%s belongs to no package of this device", file)
}
