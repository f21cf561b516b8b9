// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ashlar-nos/ashlar/cli/internal/fail"
	"github.com/ashlar-nos/ashlar/cli/internal/provision"
	"github.com/ashlar-nos/ashlar/cli/internal/render"
	"github.com/ashlar-nos/ashlar/services/kit/layout"
)

// initFlags are the flags of init.
type initFlags struct {
	passwordFile                 string
	management, ports, addresses []string
	gnmi                         string
	replace                      bool
}

const (
	defaultUser = "admin"
	// minPassword is the shortest password taken, in bytes (NIST SP 800-63B, section 5.1.1.1).
	minPassword = 8
)

func (s *session) initialise() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use:   "init",
		Short: "Set a device up before its first start: authority, certificates, first user, interfaces",
		Long: `init makes, below the state directory (/var/lib/ashlar, or DIR/var/lib/ashlar with --root DIR):
  pki/ca.crt, pki/ca.key            the device's own authority
  pki/client.crt, pki/client.key    a client certificate for the first user
  config/tls/, config/users.json    the gNMI server's certificate and the first user's password hash
  init.json                         which interfaces are ports, and which are for management

Ports may be configured; a management interface is never touched. Without --management it is the interface of the
default route; without --port every other interface is a port.

  ashlar init --user admin --password-file secret --management eth0 --address 192.0.2.7 --address leaf1.example.net`,
		Args: between(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error { return s.runInit(f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.passwordFile, "password-file", "", "file with the first user's password, \"-\" for standard input (default: ask)")
	fl.StringSliceVar(&f.management, "management", nil, "management interface; may be repeated")
	fl.StringSliceVar(&f.ports, "port", nil, "interface that may be configured; may be repeated")
	fl.StringSliceVar(&f.addresses, "address", nil, "address or name by which the device is reached; may be repeated")
	fl.StringVar(&f.gnmi, "gnmi-listen", "", "IP address and port on which gNMI serves the network (default: only this machine, 127.0.0.1:9339)")
	fl.BoolVar(&f.replace, "replace", false, "make everything anew; certificates made before are worthless then")
	return c
}

func (s *session) runInit(f initFlags) error {
	o := s.options.FromEnvironment(s.Getenv)
	if s.options.Socket != "" || s.options.Target != "" {
		return fail.Usagef("init sets up a device on this machine: give --root, not --socket or --target")
	}
	root := s.options.Root
	if root == "" {
		root = s.Getenv(layout.EnvRoot)
	}
	l, err := layout.New(root)
	if err != nil {
		return fail.Usagef("--root: %v", err)
	}
	management, ports, err := interfaces(f)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddrPort(f.gnmi); f.gnmi != "" && err != nil {
		return fail.Usagef("--gnmi-listen %q: want an IP address and a port, such as 192.0.2.7:9339 or [::]:9339", f.gnmi)
	}
	password, err := s.password(f, o.Password)
	if err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return fail.Refusef("", "host name: %v", err)
	}
	user := o.User
	if user == "" {
		user = defaultUser
	}
	now := time.Now()
	if err := sane(now); err != nil {
		return err
	}
	made, err := provision.Run(provision.Request{
		Layout: l, User: user, Password: password, Addresses: f.addresses, Hostname: hostname,
		Management: management, Ports: ports, GNMI: f.gnmi, Replace: f.replace, Now: now,
	})
	if err != nil {
		return initError(err)
	}
	return s.printInit(made)
}

// sane refuses a clock that was never set: certificates would be valid at the wrong time.
func sane(now time.Time) error {
	if now.Year() < 2025 {
		return fail.Refusef("set the clock, for example with `date -s`, and run init again", "the clock says %s: certificates made now would be of no use", now.Format(time.DateOnly))
	}
	return nil
}

func initError(err error) error {
	switch {
	case errors.Is(err, provision.ErrExists):
		return fail.Refusef("--replace makes everything anew; certificates made before are worthless then", "%v", err)
	case errors.Is(err, fs.ErrPermission):
		return fail.Refusef("be root, for example by sudo", "%v", err)
	}
	return fail.Refusef("", "%v", err)
}

// password reads the first user's password: from a file, or from a person, twice.
func (s *session) password(f initFlags, given string) (password string, err error) {
	switch {
	case f.passwordFile != "":
		password, err = s.passwordFrom(f.passwordFile)
	case given != "":
		password = given
	case s.ReadPassword != nil:
		password, err = s.askPassword()
	default:
		return "", fail.Usagef("no password for the first user: give --password-file FILE, or run init at a terminal")
	}
	if err != nil {
		return "", err
	}
	if len(password) < minPassword {
		return "", fail.Usagef("the password has %d bytes: want at least %d", len(password), minPassword)
	}
	return password, nil
}

func (s *session) passwordFrom(name string) (string, error) {
	const limit = 4096
	in := s.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", fail.Usagef("--password-file: %v", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, limit))
	if err != nil {
		return "", fail.Usagef("--password-file: %v", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

func (s *session) askPassword() (string, error) {
	first, err := s.ReadPassword("Password of the first user: ")
	if err != nil {
		return "", fail.Refusef("", "read the password: %v", err)
	}
	second, err := s.ReadPassword("Again: ")
	if err != nil {
		return "", fail.Refusef("", "read the password: %v", err)
	}
	if first != second {
		return "", fail.Usagef("the passwords differ")
	}
	return first, nil
}

// interfaces sorts the interfaces into management and ports.
func interfaces(f initFlags) (management, ports []string, err error) {
	for _, name := range slices.Concat(f.management, f.ports) {
		if err := provision.CheckLink(name); err != nil {
			return nil, nil, fail.Usagef("%v", err)
		}
	}
	for _, name := range f.ports {
		if slices.Contains(f.management, name) {
			return nil, nil, fail.Usagef("%s is given as a port and for management: a management interface is never configured", name)
		}
	}
	management, ports = f.management, f.ports
	if len(management) == 0 {
		found, err := provision.DefaultRouteLinks()
		if err != nil {
			return nil, nil, fail.Refusef("say with --management which it is", "find the management interface: %v", err)
		}
		management = slices.DeleteFunc(found, func(name string) bool { return slices.Contains(ports, name) })
	}
	if len(ports) == 0 {
		all, err := provision.Links()
		if err != nil {
			return nil, nil, fail.Refusef("", "%v", err)
		}
		ports = slices.DeleteFunc(all, func(name string) bool { return slices.Contains(management, name) })
	}
	return management, ports, nil
}

func (s *session) printInit(r provision.Result) error {
	if s.format != render.Table {
		return s.writer().Data(r)
	}
	g := render.Grid{Columns: []string{"MADE", ""}}
	for _, name := range r.Files {
		g.Add(render.Text("file"), render.Text(name))
	}
	g.Add(render.Text("authority"), render.Text("SHA-256 "+r.Authority))
	g.Add(render.Text("valid until"), render.Text(r.ValidUntil.Format(time.DateOnly)))
	g.Add(render.Text("reached as"), render.Text(strings.Join(r.Addresses, " ")))
	g.Add(render.Text("user"), render.Text(r.User))
	g.Add(render.Text("management"), render.Text(strings.Join(r.Management, " ")))
	g.Add(render.Text("ports"), render.Text(strings.Join(r.Ports, " ")))
	if err := s.writer().Grid(g); err != nil {
		return err
	}
	fmt.Fprintln(s.Err, "Start the device next: systemctl start ashlard")
	return nil
}
