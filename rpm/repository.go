// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Publish makes a directory of packages a repository: repodata/ by createrepo_c with a signed index, the public key as
// keys/<name>.asc, and evidence/ for contract-test results. It may be called again after packages were
// added. when becomes the revision and the time of the metadata, so that the same packages give the same metadata.
func Publish(ctx context.Context, dir string, key *Key, when time.Time) error {
	for _, sub := range []string{"keys", "evidence"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return fmt.Errorf("rpm: %w", err)
		}
	}
	public, err := key.Public()
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, "keys", key.Name()+".asc"), public); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "createrepo_c", "--quiet", "--no-database", "--general-compress-type=gz",
		"--revision", strconv.FormatInt(when.Unix(), 10), "--set-timestamp-to-revision", dir).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("rpm: createrepo_c is missing: install the package createrepo-c: %w", err)
	}
	if err != nil {
		return fmt.Errorf("rpm: createrepo_c: %w: %s", err, out)
	}
	return SignFile(filepath.Join(dir, "repodata", "repomd.xml"), key)
}

// SignFile writes the detached signature of a file beside it, as <file>.asc.
func SignFile(file string, key *Key) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("rpm: %w", err)
	}
	signature, err := key.SignDetached(content)
	if err != nil {
		return err
	}
	return replace(file+".asc", signature)
}

// VerifyFile checks a file against <file>.asc and returns the file's content and the signer's key id.
func VerifyFile(file string, keyring Keyring) (content []byte, signer string, err error) {
	signature, err := os.ReadFile(file + ".asc")
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("%s: %w: there is no %s.asc", file, ErrUnsigned, filepath.Base(file))
	}
	if err == nil {
		content, err = os.ReadFile(file)
	}
	if err == nil {
		signer, err = keyring.VerifyDetached(content, signature)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	return content, signer, nil
}

// replace writes a file in one step, for readers that may look at any time.
func replace(file string, content []byte) error {
	tmp := file + ".new"
	if err := os.WriteFile(tmp, content, 0o644); err != nil {
		return fmt.Errorf("rpm: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("rpm: %w", err)
	}
	return nil
}
