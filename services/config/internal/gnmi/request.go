// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package gnmi

import (
	"fmt"
	"strings"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/proto/gnmi_ext"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ashlar-nos/ashlar/services/config/internal/schema"
	"github.com/ashlar-nos/ashlar/services/kit/gpath"
)

// maxPaths bounds the paths of one request.
const maxPaths = 10000

// refuseExtensions refuses every extension: none is offered, and a base operation must not go on as if
// one had been (gNMI specification 2.8).
func refuseExtensions(extensions []*gnmi_ext.Extension) error {
	for _, e := range extensions {
		name := strings.TrimPrefix(fmt.Sprintf("%T", e.GetExt()), "*gnmi_ext.Extension_")
		return status.Errorf(codes.Unimplemented, "the extension %s is not offered", name)
	}
	return nil
}

// depthOf takes the one extension that reading offers: how many levels below each path are asked for (gNMI depth
// extension 0.1). 0 is all of them. Any other extension is refused.
func depthOf(extensions []*gnmi_ext.Extension) (levels uint32, err error) {
	var others []*gnmi_ext.Extension
	for _, e := range extensions {
		if d := e.GetDepth(); d != nil {
			levels = d.GetLevel()
			continue
		}
		others = append(others, e)
	}
	return levels, refuseExtensions(others)
}

// encodingOf maps the wire's encoding; unset is JSON.
func encodingOf(e pb.Encoding) (schema.Encoding, error) {
	switch e {
	case pb.Encoding_JSON:
		return schema.JSON, nil
	case pb.Encoding_JSON_IETF:
		return schema.JSONIETF, nil
	case pb.Encoding_PROTO:
		return schema.Proto, nil
	}
	return 0, status.Errorf(codes.Unimplemented, "the encoding %s is unsupported; use JSON, JSON_IETF or PROTO", e)
}

// checkModels accepts a use_models that restricts nothing and refuses one that does.
func checkModels(model *schema.Model, use []*pb.ModelData) error {
	if len(use) == 0 {
		return nil
	}
	missing := map[string]bool{}
	for _, m := range model.Root().Children() {
		missing[m.Module().Name] = true
	}
	byName := map[string]*schema.Module{}
	for _, m := range model.Modules() {
		byName[m.Name] = m
	}
	for _, u := range use {
		m := byName[u.GetName()]
		switch {
		case m == nil:
			return status.Errorf(codes.Unimplemented, "use_models: no model %q; see Capabilities", u.GetName())
		case u.GetVersion() != "" && u.GetVersion() != m.Version:
			return status.Errorf(codes.Unimplemented, "use_models: %s has version %q, not %q", m.Name, m.Version, u.GetVersion())
		}
		delete(missing, m.Name)
	}
	if len(missing) > 0 {
		return status.Error(codes.Unimplemented, "use_models: restriction to some of the models is not offered; name all or none")
	}
	return nil
}

// join is the prefix and the path as one absolute path, checked for what the wire could still carry.
func join(prefix, path *pb.Path) (*pb.Path, error) {
	for _, p := range []*pb.Path{prefix, path} {
		if old := oldElements(p); len(old) > 0 && len(p.GetElem()) == 0 {
			return nil, status.Errorf(codes.InvalidArgument, "path %v uses the field element, which gNMI 0.4 replaced by elem", old)
		}
	}
	return schema.Join(prefix, path)
}

// answerPrefix is the prefix of every notification of an answer: the target is told when the client sent one
// (gNMI specification 2.2.2.1), the origin when the client named it. Paths in answers are absolute.
func answerPrefix(prefix *pb.Path, paths ...*pb.Path) *pb.Path {
	out := &pb.Path{Target: prefix.GetTarget(), Origin: prefix.GetOrigin()}
	for _, p := range paths {
		if out.GetOrigin() == "" {
			out.Origin = p.GetOrigin()
		}
	}
	if out.GetTarget() == "" && out.GetOrigin() == "" {
		return nil
	}
	return out
}

// text is a path for a message, before anything is known to be right with it.
func text(prefix, path *pb.Path) string { return gpath.String(gpath.Join(prefix, path)) }

// oldElements is the deprecated form of a path. Clients may send it beside elem for the sake of old servers;
// alone it would be read as the root, so it must be looked at.
func oldElements(p *pb.Path) []string {
	//lint:ignore SA1019 to refuse the field one must read it
	return p.GetElement()
}

// hasOldValue reports whether an update carries the deprecated form of a value.
func hasOldValue(u *pb.Update) bool {
	//lint:ignore SA1019 to refuse the field one must read it
	return u.GetValue() != nil
}
