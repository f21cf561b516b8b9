// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package static

import (
	"context"
	"errors"

	gnmi "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"

	"github.com/ashlar-nos/ashlar/services/kit/gpath"
	"github.com/ashlar-nos/ashlar/services/kit/owner"
)

// Prepare implements owner.Handler.
func (s *Routes) Prepare(_ context.Context, c owner.Change) error {
	for _, o := range c.Objects {
		if o.New == nil {
			continue
		}
		if err := checkPlace(o); err != nil {
			return err
		}
		if o.Pattern != patternStatic {
			continue
		}
		route, err := Parse(o.New)
		if err == nil {
			err = route.Check(s.own)
		}
		if err != nil {
			return refusal(o.Path, err)
		}
		if len(c.Desired) > maxRoutes {
			return owner.Refuse(o.Path, codes.ResourceExhausted, "more than %d static routes", maxRoutes)
		}
	}
	return nil
}

// checkPlace refuses what is not in the default instance or not static.
func checkPlace(o owner.Object) error {
	if name := gpath.Key(o.Path, "network-instance", "name"); name != instance {
		return owner.Refuse(o.Path, codes.Unimplemented, "network instance %q: this version has the instance %s only", name, instance)
	}
	if o.Pattern == patternInstance {
		return checkInstance(o)
	}
	if id := gpath.Key(o.Path, "protocol", "identifier"); bare(id) != "STATIC" {
		return owner.Refuse(o.Path, codes.Unimplemented, "protocol %s: this component implements STATIC only", bare(id))
	}
	return nil
}

func checkInstance(o owner.Object) error {
	config, err := members("/config", o.New, "name", "type")
	if err != nil {
		return refusal(o.Path, err)
	}
	if config["type"] == nil {
		return nil
	}
	kind, err := stringOf("/type", config["type"])
	if err != nil {
		return refusal(o.Path, err)
	}
	if bare(kind) != "DEFAULT_INSTANCE" {
		return owner.Refuse(child(o.Path, "/type"), codes.InvalidArgument, "the instance %s is of type DEFAULT_INSTANCE, not %s", instance, bare(kind))
	}
	return nil
}

// refusal turns a fault into the owner's words, with the precise path.
func refusal(object *gnmi.Path, err error) error {
	var f *fault
	if errors.As(err, &f) {
		return owner.Refuse(child(object, f.at), codes.InvalidArgument, "%s", f.reason)
	}
	return owner.Refuse(object, codes.InvalidArgument, "%s", err)
}

// child is a path below another; where the text makes no path, it is the other itself.
func child(path *gnmi.Path, below string) *gnmi.Path {
	rest, err := gpath.Parse(below)
	if err != nil {
		return path
	}
	return gpath.Join(path, rest)
}
