// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	_ "github.com/openconfig/gnmi/proto/gnmi" // its declarations
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	// The declarations of all contracts.
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/config/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/dataplane/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/host/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/interfaces/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/lifecycle/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/pkg/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/rib/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/state/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/supervisor/v1"
	_ "github.com/ashlar-nos/ashlar/proto/gen/ashlar/telemetry/v1"
)

// FullMethod is the interaction's method as gRPC writes it, for example "/ashlar.rib.v1.Rib/List".
func (f *File) FullMethod(i Interaction) string { return "/" + f.Contract + "." + i.Method }

// Method finds the declaration of a method "/package.Service/Method".
func Method(full string) (protoreflect.MethodDescriptor, error) {
	service, method, ok := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	if !ok {
		return nil, fmt.Errorf("method %q: want Service/Method", full)
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("method %q: there is no service %s", full, service)
	}
	s, ok := d.(protoreflect.ServiceDescriptor)
	if !ok || s.Methods().ByName(protoreflect.Name(method)) == nil {
		return nil, fmt.Errorf("method %q: %s has no method %s", full, service, method)
	}
	return s.Methods().ByName(protoreflect.Name(method)), nil
}

// Message makes a message of its JSON form.
func Message(d protoreflect.MessageDescriptor, form any) (proto.Message, error) {
	m := dynamicpb.NewMessage(d)
	if form == nil {
		return m, nil
	}
	form, err := expand(form)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(form)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", d.FullName(), err)
	}
	return m, nil
}

func (f *File) checkInteraction(i Interaction) error {
	m, err := Method(f.FullMethod(i))
	if err != nil {
		return err
	}
	for _, c := range slices.Concat(i.Given, i.Then) {
		if err := c.check(); err != nil {
			return err
		}
	}
	streams := m.IsStreamingClient() || m.IsStreamingServer()
	switch {
	case streams != (len(i.Steps) > 0):
		return errors.New("a stream has steps, a unary call has none")
	case !streams:
		return errors.Join(checkForm(m.Input(), i.Request), i.Answer.check(m.Output()))
	case i.Request != nil || i.Response != nil || i.Code != "":
		return errors.New("what a stream sends and expects is in its steps")
	}
	for n, s := range i.Steps {
		if err := s.check(m); err != nil {
			return fmt.Errorf("step %d: %w", n+1, err)
		}
	}
	return nil
}

func (c Call) check() error {
	m, err := Method("/" + c.Method)
	if err != nil {
		return err
	}
	return errors.Join(checkForm(m.Input(), c.Request), c.Answer.check(m.Output()))
}

// check sees that the code exists and that the fields of the response do.
func (a Answer) check(d protoreflect.MessageDescriptor) error {
	if a.Code != "" {
		if _, err := codeOf(a.Code); err != nil {
			return err
		}
	}
	return checkFields(d, a.Response)
}

func (s Step) check(m protoreflect.MethodDescriptor) error {
	set := 0
	for _, is := range []bool{s.Send != nil, s.Receive != nil, s.Call != nil, s.Start != nil, s.Finish, s.Close, s.End != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("%d acts: want exactly one of send, receive, call, start, finish, close, end", set)
	}
	switch {
	case s.Send != nil:
		return checkForm(m.Input(), s.Send)
	case s.Call != nil:
		return s.Call.check()
	case s.Start != nil:
		return s.Start.check()
	case s.Receive != nil:
		return checkFields(m.Output(), s.Receive)
	case s.End != nil:
		return s.End.check(m.Output())
	}
	return nil
}

// checkForm sees that a message can be made, where captured values stand in for anything.
func checkForm(d protoreflect.MessageDescriptor, form any) error {
	_, err := Message(d, blank(form))
	return err
}

// checkFields sees that every member of an expected message is a field of it.
func checkFields(d protoreflect.MessageDescriptor, form any) error {
	members, ok := form.(map[string]any)
	if !ok || strings.HasPrefix(string(d.FullName()), "google.protobuf.") {
		return nil // a matcher, or a message with a JSON form of its own
	}
	for name, want := range members {
		f := d.Fields().ByName(protoreflect.Name(name))
		if f == nil {
			return fmt.Errorf("%s has no field %q", d.FullName(), name)
		}
		if f.IsMap() || f.Message() == nil {
			continue
		}
		all := []any{want}
		if list, ok := want.([]any); ok {
			all = list
		}
		for _, e := range all {
			if err := checkFields(f.Message(), e); err != nil {
				return err
			}
		}
	}
	return nil
}

// blank puts a number, which every scalar of JSON's form takes as text or as itself, in place of captured values.
func blank(form any) any {
	switch v := form.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = blank(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = blank(e)
		}
		return out
	case string:
		if strings.HasPrefix(v, "$") {
			return "1"
		}
	}
	return form
}

// expand makes what a file cannot write down: "<descriptors NAME>" is the serialised FileDescriptorSet of the file that
// declares a message and of all it imports, in base64.
func expand(form any) (any, error) {
	switch v := form.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			x, err := expand(e)
			if err != nil {
				return nil, err
			}
			out[k] = x
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			x, err := expand(e)
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case string:
		if name, ok := strings.CutPrefix(v, "<descriptors "); ok {
			return descriptors(strings.TrimSuffix(name, ">"))
		}
	}
	return form, nil
}

func descriptors(message string) (string, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(message))
	if err != nil {
		return "", fmt.Errorf("<descriptors %s>: there is no such message", message)
	}
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(d.ParentFile())
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	return base64.StdEncoding.EncodeToString(b), err
}
