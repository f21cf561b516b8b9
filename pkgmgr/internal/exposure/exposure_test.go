// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package exposure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ashlar-nos/ashlar/pkgmgr/internal/generation"
	"github.com/ashlar-nos/ashlar/services/kit/manifest"
)

func device() *generation.Generation {
	return &generation.Generation{Components: []generation.Component{{Manifest: &manifest.Manifest{
		Name: "config",
		Sockets: []manifest.Socket{
			{Name: "gnmi", TCP: "127.0.0.1:9339"}, {Name: "local", Unix: "gnmi.sock"}, {Name: "other", TCP: "127.0.0.1:1"},
		},
	}}}}
}

func TestPlace(t *testing.T) {
	for desc, c := range map[string]struct{ content, gnmi, wrong string }{
		"no file":            {"", "127.0.0.1:9339", ""},
		"nothing about it":   {`{"ports": ["ge0"]}`, "127.0.0.1:9339", ""},
		"an address":         {`{"listen": {"gnmi": "192.0.2.7:9339"}}`, "192.0.2.7:9339", ""},
		"a unix socket":      {`{"listen": {"local": "192.0.2.7:9339"}}`, "127.0.0.1:9339", ""},
		"a host name":        {`{"listen": {"gnmi": "leaf1:9339"}}`, "", "IP address and a port"},
		"no port":            {`{"listen": {"gnmi": "192.0.2.7"}}`, "", "IP address and a port"},
		"what is no JSON":    {`{"listen": `, "", "does not parse"},
		"another type":       {`{"listen": 7}`, "", "does not parse"},
		"every IPv6 address": {`{"listen": {"gnmi": "[::]:9339"}}`, "[::]:9339", ""},
	} {
		file := filepath.Join(t.TempDir(), "init.json")
		if c.content != "" {
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		g := device()
		err := Place(file, g.Components...)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: got %v, want an error with %q", desc, err, c.wrong)
			}
			continue
		}
		s := g.Components[0].Manifest.Sockets
		if err != nil || s[0].TCP != c.gnmi || s[1].TCP != "" || s[2].TCP != "127.0.0.1:1" {
			t.Errorf("%s: %v, sockets %+v", desc, err, s)
		}
	}
}
