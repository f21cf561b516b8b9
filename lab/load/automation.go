// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"

	"github.com/ashlar-nos/ashlar/lab/calls"
	"github.com/ashlar-nos/ashlar/lab/instance"
	"github.com/ashlar-nos/ashlar/lab/intent"
)

// Automation calls by TLS from outside the device, as automation does, until Stop.
type Automation struct {
	*calls.Client
	cancel context.CancelFunc
	done   chan struct{}
	last   calls.Stats
}

// StartAutomation begins to call. The description of the port is the client's alone while it runs.
func StartAutomation(lab *instance.Lab, port string) (*Automation, error) {
	login, err := lab.Login()
	if err != nil {
		return nil, err
	}
	c, err := calls.New(lab.Address(), intent.Description(port), login)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	out := &Automation{Client: c, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(out.done)
		c.Run(ctx)
	}()
	return out, nil
}

// Account returns what happened since the last call of it.
func (a *Automation) Account() calls.Stats {
	now := a.Stats()
	since := now.Since(a.last)
	a.last = now
	return since
}

// Stop lets the call under way finish.
func (a *Automation) Stop() {
	a.cancel()
	<-a.done
}

// End stops and closes the connection.
func (a *Automation) End() error {
	a.Stop()
	return a.Close()
}
