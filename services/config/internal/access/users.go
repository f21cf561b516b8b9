// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// maxUsersFile bounds what is read, in bytes.
const maxUsersFile = 1 << 20

// maxPassword bounds what is hashed, in bytes.
const maxPassword = 1024

// user is one entry of the users' file. Without a hash the user has no password and needs a certificate.
type user struct {
	Name         string `json:"name"`
	PasswordHash string `json:"password_hash"`
	Role         Role   `json:"role"`
}

// Users answers from the users' file, a JSON array of {"name","password_hash","role"}. The file is read
// again when it changes. While it is damaged the last good content that was read stands; without one, and
// while the file is missing, nobody is known. The log says what is wrong with the file, callers are not told.
type Users struct {
	file string
	log  *slog.Logger
	// slots bounds how many passwords are hashed at once: each costs memory and a core.
	slots chan struct{}
	decoy hash

	mu sync.Mutex
	// seen is the content that was looked at last, good the one that byName was read from.
	seen, good fileStamp
	byName     map[string]user
	told       string
}

// errNobody is all that a caller hears about the users' file.
var errNobody = fmt.Errorf("%w: this device knows no users now; its log says why", ErrUnauthenticated)

// fileStamp tells one content of a file from the next.
type fileStamp struct {
	modified time.Time
	size     int64
	inode    uint64
}

// NewUsers returns the users of a file, which need not exist yet.
func NewUsers(file string, log *slog.Logger) (*Users, error) {
	phc, err := HashPassword("nobody")
	if err != nil {
		return nil, err
	}
	decoy, err := parseHash(phc)
	if err != nil {
		return nil, err
	}
	return &Users{file: file, log: log, slots: make(chan struct{}, 2), decoy: decoy}, nil
}

// Lookup returns the identity of a user whose name is already proven (by a certificate).
func (u *Users) Lookup(name string) (Role, error) {
	byName, _, err := u.current()
	if err != nil {
		return "", err
	}
	found, ok := byName[name]
	if !ok {
		return "", fmt.Errorf("%w: no user %q on this device", ErrUnauthenticated, name)
	}
	return found.Role, nil
}

// Verify checks a password. It takes tens of milliseconds by design; an unknown user takes as long as a
// wrong password. The stamp changes with the file, so that a caller can tell for how long the answer holds.
func (u *Users) Verify(ctx context.Context, name, password string) (role Role, stamp fileStamp, err error) {
	byName, stamp, err := u.current()
	if err != nil {
		return "", stamp, err
	}
	if len(password) > maxPassword {
		return "", stamp, fmt.Errorf("%w: wrong user name or password", ErrUnauthenticated)
	}
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return "", stamp, ctx.Err()
	}
	found, ok := byName[name]
	h, herr := parseHash(found.PasswordHash)
	if herr != nil {
		ok, h = false, u.decoy
	}
	if match := h.matches(password); !match || !ok {
		return "", stamp, fmt.Errorf("%w: wrong user name or password", ErrUnauthenticated)
	}
	return found.Role, stamp, nil
}

// Stamp returns the stamp of the file's present content.
func (u *Users) Stamp() fileStamp {
	_, stamp, _ := u.current()
	return stamp
}

// current returns the entries and the stamp of the content they are from.
func (u *Users) current() (map[string]user, fileStamp, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	stamp, err := stampOf(u.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		u.byName, u.seen = nil, fileStamp{}
		u.tell(err)
	case err != nil:
		u.tell(err)
	case stamp != u.seen:
		u.seen = stamp
		u.read()
	}
	if u.byName == nil {
		return nil, fileStamp{}, errNobody
	}
	return u.byName, u.good, nil
}

// read takes the file's content, if it is good.
func (u *Users) read() {
	byName, err := readUsers(u.file)
	if err != nil {
		u.tell(err)
		return
	}
	u.byName, u.good, u.told = byName, u.seen, ""
}

// tell logs each new reason once.
func (u *Users) tell(err error) {
	if u.told == err.Error() {
		return
	}
	u.told = err.Error()
	u.log.Error("the users cannot be read", "error", err, "the last good ones stand", u.byName != nil)
}

func readUsers(file string) (map[string]user, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxUsersFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxUsersFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []user
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	byName := make(map[string]user, len(list))
	for _, one := range list {
		if one.Name == "" {
			return nil, fmt.Errorf("%s: a user without a name", file)
		}
		if _, twice := byName[one.Name]; twice {
			return nil, fmt.Errorf("%s: user %q twice", file, one.Name)
		}
		if _, err := parseHash(one.PasswordHash); one.PasswordHash != "" && err != nil {
			return nil, fmt.Errorf("%s: user %q: %w", file, one.Name, err)
		}
		byName[one.Name] = one
	}
	return byName, nil
}

// stampOf never fails for a file that is not there: its stamp is the zero one, with the error.
func stampOf(file string) (fileStamp, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fileStamp{}, fmt.Errorf("%s is missing: %w", file, fs.ErrNotExist)
	}
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{modified: info.ModTime(), size: info.Size(), inode: inodeOf(info)}, nil
}
