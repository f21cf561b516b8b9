// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"os"
	"os/signal"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// updateVariable names the environment variable that makes the scripts' golden files anew.
const updateVariable = "ASHLAR_UPDATE_GOLDEN"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ashlar": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			code := Run(ctx, Process(), os.Args[1:])
			stop()
			os.Exit(code)
		},
	})
}

// TestScripts runs the command lines in testdata against a device played by this process.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv(updateVariable) != "",
		Setup: func(env *testscript.Env) error {
			// Not the script's own directory: the paths of sockets must be short.
			root, err := os.MkdirTemp("", "ash")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(root) })
			stop, err := play(root)
			if err != nil {
				return err
			}
			env.Defer(stop)
			env.Setenv("ASHLAR_ROOT", root)
			env.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve-tls": serveTLS},
	})
}
