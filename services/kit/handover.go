// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import "context"

// The interfaces below are what a Service may offer besides, so that a successor can take over from it under traffic.
// The kit calls them when the supervisor asks; a service without them is taken over all the same, by what the kit
// does alone. They are called by one goroutine at a time, except Rehearse, and may be called while Run runs only.

// Freezer is a service that writes by other ways than calls: transactions that it leads, streams that it is sent.
type Freezer interface {
	// Freeze finishes what is under way and begins nothing new that writes. When it is called the component takes
	// no new call and no unary call is in flight; streams go on, and those that write the service ends itself, or
	// keeps waiting. When ctx ends before that is done, Freeze returns an error and the service is as before.
	Freeze(ctx context.Context) error
	// Unfreeze takes back a Freeze that returned nil. It must not block.
	Unfreeze()
}

// Rehearser is a service that can say what it would write.
type Rehearser interface {
	// Rehearse returns what the service would write if it had the token, or does write when it has it. It writes
	// nothing. Two versions with the same inputs are compared output by output.
	Rehearse(ctx context.Context) (Rehearsal, error)
}

// Rehearsal is what a service would write.
type Rehearsal struct {
	// Synced: all inputs have been taken, so that the outputs are whole.
	Synced bool
	// Missing says in words what is awaited while not synced.
	Missing string
	Outputs []*Output
}

// Transferrer is a service with something that its successor cannot derive from elsewhere.
type Transferrer interface {
	// Export hands it over, section by section, as data of the service's own. It is called when the service is frozen.
	// One piece of data has at most 1 MiB; a section may be sent in many.
	Export(ctx context.Context, send func(section string, data []byte) error) error
	// Import takes what the predecessor exported, in the same order, before there is a token. recv returns io.EOF
	// after the last piece. After an error the service is not used any more.
	Import(ctx context.Context, recv func() (section string, data []byte, err error)) error
}
