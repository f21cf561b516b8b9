// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package instance

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// Packages is what a device is installed from.
type Packages struct {
	// Repository is a directory of packages, with the keys that sign them and the results of their contract tests.
	Repository string
	// Versions are entries component=version; the newest one of every component that is not named.
	Versions []string
}

// Install makes a lab as Up does, with a device that was installed from packages and boots its committed generation.
func Install(ctx context.Context, build, name string, packages Packages, spare ...string) (*Lab, error) {
	return (&Lab{Name: name, build: build, packages: &packages}).up(ctx, spare)
}

// packageSocket serves ashlar.pkg.v1.
const packageSocket = "pkgmgr.sock"

// install brings the packages to the device's root, and returns the directory of the committed generation.
func (l *Lab) install(ctx context.Context) (string, error) {
	at, err := layout.New(l.place.root())
	if err != nil {
		return "", err
	}
	bootstrap := exec.CommandContext(ctx, filepath.Join(l.build, "generation", "pkgmgr", "bin", "pkgmgrd"),
		slices.Concat([]string{"bootstrap", "--root", at.Root, "--repository", l.packages.Repository}, l.packages.Versions)...)
	if out, err := bootstrap.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pkgmgrd bootstrap: %w: %s", err, out)
	}
	return filepath.Join(at.ComponentState("pkgmgr"), "committed"), nil
}

// DialPackages connects to the package manager. A call fails when nobody answers: it does not wait.
func (l *Lab) DialPackages() (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+l.Device.Layout.Socket(packageSocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
}
