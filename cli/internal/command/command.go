// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of `ashlar`: one file for each command, wired in root. Commands read
// what they need from a session, print answers on standard output and everything else on standard error, and return
// errors of package fail. Nothing here exits the process.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ashlar-nos/ashlar/cli/internal/device"
	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
)

// Version of the command.
const Version = "1.0.0"

// Environment is what the command has of the process it runs in.
type Environment struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	// Terminal reports whether answers are read by a person at a terminal, and Width how many columns it has; 0 is not known.
	Terminal bool
	Width    int
	// ReadPassword prompts without echo; nil where there is no terminal to ask at.
	ReadPassword func(prompt string) (string, error)
}

// Process is the environment of this process.
func Process() Environment {
	env := Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		Terminal: term.IsTerminal(int(os.Stdout.Fd())),
	}
	if env.Terminal {
		env.Width, _, _ = term.GetSize(int(os.Stdout.Fd()))
	}
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		env.ReadPassword = func(prompt string) (string, error) {
			fmt.Fprint(os.Stderr, prompt)
			b, err := term.ReadPassword(fd)
			fmt.Fprintln(os.Stderr)
			return string(b), err
		}
	}
	return env
}

// session is what the flags say, and the environment.
type session struct {
	Environment
	options device.Options
	output  string
	retry   time.Duration
	timeout time.Duration
	verbose bool
	format  render.Format
}

const (
	defaultRetry   = 5 * time.Second
	defaultTimeout = 15 * time.Second
)

// Run runs the command line and returns the exit code.
func Run(ctx context.Context, env Environment, args []string) int {
	s := &session{Environment: env}
	root := s.root()
	root.SetArgs(args)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return fail.OK
	}
	s.report(ran, err)
	return fail.Code(err)
}

func (s *session) report(ran *cobra.Command, err error) {
	w := render.Writer{Colour: s.colour(), Out: s.Err}
	fmt.Fprintf(s.Err, "%s %s\n", w.Paint("ashlar:", render.Bad), err)
	var known *fail.Error
	switch {
	case errors.As(err, &known) && known.Hint != "":
		fmt.Fprintf(s.Err, "  %s\n", known.Hint)
	case fail.Code(err) == fail.Usage:
		fmt.Fprintf(s.Err, "  see `%s --help`\n", ran.CommandPath())
	}
}

func (s *session) colour() bool { return s.Terminal && s.Getenv("NO_COLOR") == "" }

func (s *session) writer() render.Writer {
	return render.Writer{Out: s.Out, Format: s.format, Colour: s.colour()}
}

// open connects to the device that the flags and the environment name.
func (s *session) open() (*device.Device, error) {
	return device.Open(s.options.FromEnvironment(s.Getenv))
}

// bounded is the context of one call.
func (s *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// suggestionDistance is how many letters may be wrong for a command to be suggested.
const suggestionDistance = 2

const exitCodes = `Exit codes: 0 done, 1 refused or failed, 2 mistake on the command line, 3 device or component not reachable.`

func (s *session) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "ashlar",
		Short: "Set up, configure, watch and upgrade an Ashlar device",
		Long: `ashlar sets a device up, configures it by gNMI and shows what it does.

The device is the one on this machine unless a flag or the environment says otherwise:
  --root DIR       a device below a directory of its own      ASHLAR_ROOT
  --socket PATH    its gNMI socket; other sockets beside it   ASHLAR_SOCKET
  --target H:P     a device elsewhere, by gNMI over TLS 1.3   GNMI_ADDR (GNMI_CA, GNMI_CERT, GNMI_KEY, GNMI_USER, GNMI_PASSWORD)

` + exitCodes,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return s.check() },
		RunE:              needSubcommand,
		Args:              cobra.ArbitraryArgs,
	}
	c.SuggestionsMinimumDistance = suggestionDistance
	f := c.PersistentFlags()
	f.StringVar(&s.options.Root, "root", "", "relocation root of the device on this machine (default /)")
	f.StringVar(&s.options.Socket, "socket", "", "gNMI socket of the device on this machine")
	f.StringVar(&s.options.Target, "target", "", "host:port of gNMI on a device elsewhere")
	f.StringVar(&s.options.CA, "ca", "", "certificate of the authority that signed the device's (PEM)")
	f.StringVar(&s.options.Cert, "cert", "", "client certificate (PEM)")
	f.StringVar(&s.options.Key, "key", "", "key of the client certificate (PEM)")
	f.StringVar(&s.options.User, "user", "", "user name")
	f.StringVar(&s.options.Password, "password", "", "password; better in GNMI_PASSWORD, where others do not see it")
	f.StringVarP(&s.output, "output", "o", string(render.Table), "write answers as "+render.Formats)
	f.DurationVar(&s.retry, "retry", defaultRetry, "how long get, set and watch try again while the device is not available; 0 is never")
	f.DurationVar(&s.timeout, "timeout", defaultTimeout, "how long one call may take")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "say on standard error how often a call was tried again")
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fail.Usagef("%v", err) })
	c.AddCommand(
		s.initialise(), s.status(), s.get(), s.set(), s.watch(), s.capabilities(), s.show(), s.ping(),
		s.traceroute(), s.logs(), s.restart(), s.install(), s.compat(), s.version(),
	)
	return c
}

// check reads the flags that every command has.
func (s *session) check() error {
	format, ok := render.ParseFormat(s.output)
	if !ok {
		return fail.Usagef("--output %q: want %s", s.output, render.Formats)
	}
	if s.retry < 0 || s.timeout <= 0 {
		return fail.Usagef("--retry is 0 or more, --timeout more than 0")
	}
	s.format = format
	return nil
}

// needSubcommand is what a command that only groups others does.
func needSubcommand(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		hint := ""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return fail.Usagef("unknown command %q%s", args[0], hint)
	}
	return c.Help()
}

// between checks the number of arguments; want names them for the message.
func between(low, high int, want string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < low || high >= 0 && len(args) > high {
			return fail.Usagef("%d arguments: want %s", len(args), want)
		}
		return nil
	}
}
