// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package app_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	supervisorv1 "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	"github.com/ashlar-nos/ashlar/services/kit/roster"
)

// digestOf names a version's tree as a store does.
func digestOf(c component) string {
	sum := sha256.Sum256([]byte(c.manifest()))
	return hex.EncodeToString(sum[:])
}

// store puts a version into the device's store and returns its tree.
func (d *device) store(c component) string {
	d.t.Helper()
	tree := filepath.Join(filepath.Dir(d.layout.Root), "store", digestOf(c))
	c.place(d.t, tree)
	return tree
}

func (d *device) stage(c component) (*supervisorv1.Candidate, error) {
	ctx, cancel := wait()
	defer cancel()
	r, err := d.client.Stage(ctx, &supervisorv1.StageRequest{Component: c.name, Tree: d.store(c)})
	return r.GetCandidate(), err
}

func (d *device) mustStage(c component) *supervisorv1.Candidate {
	d.t.Helper()
	candidate, err := d.stage(c)
	if err != nil {
		d.t.Fatal(err)
	}
	return candidate
}

func (d *device) cutover(c component) (*supervisorv1.CutoverResponse, error) {
	ctx, cancel := wait()
	defer cancel()
	return d.client.Cutover(ctx, &supervisorv1.CutoverRequest{Component: c.name, Digest: digestOf(c), FreezeLimitMs: 1000, ReadyLimitMs: 3000})
}

// upgrade stages a version and cuts over to it.
func (d *device) upgrade(c component) *supervisorv1.CutoverResponse {
	d.t.Helper()
	d.mustStage(c)
	r, err := d.cutover(c)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// once asks one question over a connection of its own and does not ask again.
func (d *device) once(name, command string) (string, error) {
	c, err := net.Dial("unix", d.layout.Socket(name+".echo.sock"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(c, command); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(answer), err
}

// traffic asks without pause until it is stopped, and returns how many answers came and the first error.
func (d *device) traffic(name, command string) (stop func() (int, error)) {
	quit, result := make(chan struct{}), make(chan error, 1)
	var answers atomic.Int64
	go func() {
		for {
			select {
			case <-quit:
				result <- nil
				return
			default:
			}
			if _, err := d.once(name, command); err != nil {
				result <- err
				return
			}
			answers.Add(1)
		}
	}()
	return func() (int, error) {
		close(quit)
		err := <-result
		return int(answers.Load()), err
	}
}

func TestCutoverUnderTraffic(t *testing.T) {
	for _, mode := range []string{"takeover", "transfer", "restart"} {
		t.Run(mode, func(t *testing.T) {
			one := component{name: "one", handover: mode}
			d := newDevice(t, one)
			d.startReady()
			stop := d.traffic("one", "count")
			before := d.get("one")
			last := before.GetFencingToken()
			for i := range 6 {
				next := component{name: "one", handover: mode, version: fmt.Sprintf("1.%d.0", i+1)}
				candidate := d.mustStage(next)
				if c := d.get("one"); c.GetCandidate().GetPid() != candidate.GetPid() || !isReady(c) || c.GetPid() == candidate.GetPid() {
					t.Errorf("beside the candidate %v: %v", candidate, c)
				}
				r, err := d.cutover(next)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%s: frozen %d µs, ready after %d µs", mode, r.GetFrozenUs(), r.GetReadyAfterUs())
				c := d.get("one")
				if !isReady(c) || c.GetPid() != candidate.GetPid() || c.GetVersion() != next.version || c.GetDigest() != digestOf(next) {
					t.Errorf("after the cutover: %v", c)
				}
				if r.GetFencingToken() <= last || c.GetFencingToken() != r.GetFencingToken() || c.GetLastCause() != supervisorv1.Cause_CAUSE_UPGRADE {
					t.Errorf("token %d after %d, in the table %d, cause %v", r.GetFencingToken(), last, c.GetFencingToken(), c.GetLastCause())
				}
				last = r.GetFencingToken()
				if c.GetCrashes() != 0 || c.GetRestarts() != 0 || c.GetTrial().GetPreviousVersion() != "1.0.0" || c.GetCandidate() != nil {
					t.Errorf("an upgrade left marks: %v", c)
				}
				d.await("one", "its predecessor to end", func(c *supervisorv1.ComponentStatus) bool { return c.GetDraining() == 0 })
			}
			if answers, err := stop(); err != nil || answers == 0 {
				t.Errorf("after %d answers: %v", answers, err)
			} else if got, err := d.once("one", "count"); mode != "takeover" && (err != nil || got != strconv.Itoa(answers+1)) {
				t.Errorf("%d were counted, then it says %s, %v", answers, got, err)
			}
			if alive(before.GetPid()) {
				t.Error("the first process lives")
			}
		})
	}
}

func TestSameDigestChangesNothing(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	next := component{name: "one", version: "1.1.0"}
	first, again := d.mustStage(next), d.mustStage(next)
	if first.GetPid() != again.GetPid() {
		t.Errorf("staged twice: %v and %v", first, again)
	}
	if !slices.ContainsFunc(first.GetProvides(), func(c *lifecyclev1.Contract) bool {
		return c.GetName() == "ashlar.lifecycle.v1" && len(c.GetDescriptorSha256()) == 32
	}) {
		t.Errorf("provides %v", first.GetProvides())
	}
	d.upgrade(next)
	if r, err := d.cutover(next); err != nil || !r.GetUnchanged() || d.get("one").GetPid() != first.GetPid() {
		t.Errorf("again: %v, %v", r, err)
	}
	if _, err := d.cutover(component{name: "one", version: "1.2.0"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("what is not staged: %v", err)
	}
}

func TestDiscard(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	candidate := d.mustStage(component{name: "one", version: "1.1.0"})
	ctx, cancel := wait()
	defer cancel()
	for range 2 {
		if _, err := d.client.Discard(ctx, &supervisorv1.DiscardRequest{Component: "one"}); err != nil {
			t.Fatal(err)
		}
	}
	if c := d.get("one"); alive(candidate.GetPid()) || c.GetCandidate() != nil || !isReady(c) {
		t.Errorf("after it was discarded: %v", c)
	}
}

func TestStageRefuses(t *testing.T) {
	d := newDevice(t, component{name: "one"}, component{name: "two"})
	d.startReady()
	lies := component{name: "one", version: "1.9.0"}
	if err := os.MkdirAll(d.store(lies), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.store(lies), "lies"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d.flag("one", "1.8.0.crash-at-start", true)
	for desc, tt := range map[string]struct {
		c    component
		code codes.Code
		want string
	}{
		"another's socket": {component{name: "one", version: "1.1.0", more: "  - {name: x, unix: two.sock}\n"}, codes.InvalidArgument, "both listen on two.sock"},
		"a capability":     {component{name: "one", version: "1.2.0", more: "capabilities: [CAP_ALL]\n"}, codes.InvalidArgument, "CAP_ALL"},
		"one that lies":    {lies, codes.FailedPrecondition, "the process says that it is one 91.9.0"},
		"one that dies":    {component{name: "one", version: "1.8.0"}, codes.FailedPrecondition, "crashes at start, as asked"},
	} {
		_, err := d.stage(tt.c)
		if status.Code(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %v with %q", desc, err, tt.code, tt.want)
		}
	}
	ctx, cancel := wait()
	defer cancel()
	for desc, req := range map[string]*supervisorv1.StageRequest{
		"another component": {Component: "two", Tree: d.store(component{name: "one", version: "1.5.0"})},
		"no tree":           {Component: "one", Tree: "/nowhere"},
		"a relative path":   {Component: "one", Tree: "store/x"},
	} {
		if _, err := d.client.Stage(ctx, req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", desc, err)
		}
	}
	if c := d.get("one"); !isReady(c) || c.GetCrashes() != 0 {
		t.Errorf("the running one suffered: %v", c)
	}
}

func TestRehearse(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	d.mustStage(component{name: "one", version: "1.1.0"})
	ctx, cancel := wait()
	defer cancel()
	r, err := d.client.Rehearse(ctx, &supervisorv1.RehearseRequest{Component: "one"})
	if err != nil || !r.GetRunning().GetSynced() || !r.GetCandidate().GetSynced() {
		t.Errorf("%v, %v", r, err)
	}
}

// A cutover that fails leaves the version before at work, and callers see nothing of it.
func TestFailedCutover(t *testing.T) {
	for _, test := range []struct{ mode, flag, says, then string }{
		{"takeover", "1.0.0.freeze-hangs", "freeze", "goes on"},
		{"takeover", "1.1.0.unready", "the canary does not sing", "goes on"},
		{"takeover", "1.1.0.crash-when-active", "crashes when active, as asked", "goes on"},
		{"transfer", "1.1.0.import-fails", "cannot read that", "goes on"},
		{"transfer", "1.1.0.unready", "the canary does not sing", "is started again"},
		{"restart", "1.1.0.unready", "the canary does not sing", "is started again"},
	} {
		t.Run(test.mode+" "+test.flag, func(t *testing.T) {
			one := component{name: "one", handover: test.mode}
			d := newDevice(t, one)
			d.startReady()
			before := d.get("one")
			stop := func() (int, error) { return 1, nil }
			if test.flag != "1.1.0.crash-when-active" { // who is answered by a process that crashes sees it
				stop = d.traffic("one", "pid")
			}
			d.flag("one", test.flag, true)
			next := component{name: "one", handover: test.mode, version: "1.1.0"}
			candidate := d.mustStage(next)
			_, err := d.cutover(next)
			if status.Code(err) != codes.Aborted || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "version 1.0.0 "+test.then) {
				t.Errorf("got %v, want ABORTED with %q and %q", err, test.says, test.then)
			}
			after := d.await("one", "to be ready", func(c *supervisorv1.ComponentStatus) bool {
				return isReady(c) && c.GetVersion() == "1.0.0"
			})
			if test.then == "goes on" && after.GetPid() != before.GetPid() || after.GetTrial() != nil {
				t.Errorf("before %v, after %v", before, after)
			}
			if test.flag != "1.0.0.freeze-hangs" && alive(candidate.GetPid()) {
				t.Error("the failed version lives")
			}
			if got := d.say("one", "token"); got != fmt.Sprint(after.GetFencingToken(), " <nil>") {
				t.Errorf("it has token %q, the table %d", got, after.GetFencingToken())
			}
			if answers, err := stop(); err != nil || answers == 0 {
				t.Errorf("after %d answers: %v", answers, err)
			}
		})
	}
}

func TestTrialEndsInAReversal(t *testing.T) {
	one, next := component{name: "one"}, component{name: "one", version: "1.1.0"}
	for desc, restart := range map[string]bool{"": false, "after a restart of the supervisor": true} {
		t.Run(desc, func(t *testing.T) {
			d := newDevice(t, one)
			d.startReady()
			d.upgrade(next)
			if restart {
				d.kill()
				d.startReady()
			}
			c := d.get("one")
			if c.GetTrial().GetPreviousVersion() != "1.0.0" {
				t.Fatalf("trial: %v", c)
			}
			began := time.Now()
			d.say("one", "exit 3")
			c = d.await("one", "to be back", func(c *supervisorv1.ComponentStatus) bool { return isReady(c) && c.GetVersion() == "1.0.0" })
			t.Logf("back after %v", time.Since(began))
			r := c.GetReversal()
			if r.GetFromVersion() != "1.1.0" || r.GetFromDigest() != digestOf(next) || r.GetToVersion() != "1.0.0" || !strings.Contains(r.GetReason(), "exit status 3") {
				t.Errorf("reversal %v", r)
			}
			if c.GetTrial() != nil || c.GetCrashes() != 1 {
				t.Errorf("after the reversal: %v", c)
			}
		})
	}
}

func TestConfirmedVersionIsRestarted(t *testing.T) {
	d := newDevice(t, component{name: "one"})
	d.startReady()
	next := component{name: "one", version: "1.1.0"}
	d.upgrade(next)
	ctx, cancel := wait()
	defer cancel()
	if _, err := d.client.Confirm(ctx, &supervisorv1.ConfirmRequest{Component: "one"}); err != nil {
		t.Fatal(err)
	}
	pid := d.get("one").GetPid()
	d.say("one", "exit 3")
	if c := d.await("one", "to be ready again", successorOf(pid)); c.GetVersion() != "1.1.0" || c.GetReversal() != nil {
		t.Errorf("after a crash: %v", c)
	}
	// The choice outlives the supervisor, and everything else too.
	d.kill()
	if err := unix.Kill(int(d.pid("one")), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.startReady()
	if c := d.get("one"); c.GetVersion() != "1.1.0" {
		t.Errorf("after the supervisor's restart: %v", c)
	}
}

// pid is the running process as the record has it.
func (d *device) pid(name string) int { return recorded(d.t, d, name).PID }

func TestComponentsJoinAndLeave(t *testing.T) {
	d := newDevice(t, component{name: "one", provides: "test.one.v1"})
	d.startReady()
	two := component{name: "two", requires: []string{"test.one.v1"}}
	ctx, cancel := wait()
	defer cancel()
	d.mustStage(two)
	if _, err := d.client.Discard(ctx, &supervisorv1.DiscardRequest{Component: "two"}); err != nil {
		t.Fatal(err)
	}
	d.awaitGone("two")
	d.upgrade(two)
	d.await("two", "to be ready", isReady)
	if _, err := d.client.Remove(ctx, &supervisorv1.RemoveRequest{Component: "one"}); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "two requires test.one.v1") {
		t.Errorf("removal of what is needed: %v", err)
	}
	d.kill()
	d.startReady()
	pid := d.await("two", "to be ready", isReady).GetPid()
	r, err := roster.Load(d.layout.Roster())
	if _, ok := r.ByName("two"); err != nil || !ok {
		t.Errorf("the roster lacks it: %v", err)
	}
	if _, err := d.client.Remove(ctx, &supervisorv1.RemoveRequest{Component: "two"}); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("a removed component lives")
	}
	if r, _ := roster.Load(d.layout.Roster()); len(r.Components) != 2 {
		t.Errorf("the roster has %v", r.Components)
	}
	// One of the generation stays away as long as the generation has it.
	if _, err := d.client.Remove(ctx, &supervisorv1.RemoveRequest{Component: "one"}); err != nil {
		t.Fatal(err)
	}
	if n := len(d.list()); n != 0 {
		t.Errorf("%d components are left", n)
	}
	d.upgrade(component{name: "one", provides: "test.one.v1", version: "1.1.0"})
	if c := d.await("one", "to be ready", isReady); c.GetVersion() != "1.1.0" {
		t.Errorf("back: %v", c)
	}
}

// awaitGone waits until a component is not listed any more.
func (d *device) awaitGone(name string) {
	d.t.Helper()
	deadline := time.Now().Add(patience)
	for slices.ContainsFunc(d.list(), func(c *supervisorv1.ComponentStatus) bool { return c.GetName() == name }) {
		if time.Now().After(deadline) {
			d.t.Fatalf("%s does not go", name)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
