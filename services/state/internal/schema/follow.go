// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Newer returns which of two declarations of a table's type to keep: the one that knows every field of
// the other. It fails when they disagree about a field, or when each knows fields that the other lacks.
func Newer(kept, declared *Type) (*Type, error) {
	if kept.Name() != declared.Name() {
		return nil, fmt.Errorf("the table's rows are %s, not %s", kept.Name(), declared.Name())
	}
	adds, err := additions(kept.message, declared.message, nil)
	if err != nil {
		return nil, err
	}
	if adds == "" {
		return kept, nil
	}
	lacks, err := additions(declared.message, kept.message, nil)
	if err != nil {
		return nil, err
	}
	if lacks != "" {
		return nil, fmt.Errorf("the declared type has %s, which the table's lacks, and lacks %s, which the table's has", adds, lacks)
	}
	return declared, nil
}

// additions names a field of next that base lacks, anywhere below; "" when there is none. It fails at a field of
// both whose wire form or meaning differs. seen ends recursive types.
func additions(base, next protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) (string, error) {
	if seen[next.FullName()] {
		return "", nil
	}
	if seen == nil {
		seen = map[protoreflect.FullName]bool{}
	}
	seen[next.FullName()] = true
	found := ""
	for i := range next.Fields().Len() {
		n := next.Fields().Get(i)
		b := base.Fields().ByNumber(n.Number())
		if b == nil {
			found = string(n.FullName())
			continue
		}
		if err := same(b, n); err != nil {
			return "", err
		}
		if n.Message() == nil {
			continue
		}
		below, err := additions(b.Message(), n.Message(), seen)
		if err != nil {
			return "", err
		}
		if below != "" {
			found = below
		}
	}
	return found, nil
}

func same(b, n protoreflect.FieldDescriptor) error {
	switch {
	case b.Name() != n.Name():
		return fmt.Errorf("field %d of %s is called %q in the table's type and %q in the declared one", n.Number(), n.Parent().FullName(), b.Name(), n.Name())
	case b.Kind() != n.Kind(), b.Cardinality() != n.Cardinality(), b.IsMap() != n.IsMap():
		return fmt.Errorf("field %s is %s %s in the table's type and %s %s in the declared one", n.FullName(), b.Cardinality(), b.Kind(), n.Cardinality(), n.Kind())
	case n.Message() != nil && b.Message().FullName() != n.Message().FullName():
		return fmt.Errorf("field %s is a %s in the table's type and a %s in the declared one", n.FullName(), b.Message().FullName(), n.Message().FullName())
	case n.Enum() != nil && b.Enum().FullName() != n.Enum().FullName():
		return fmt.Errorf("field %s is a %s in the table's type and a %s in the declared one", n.FullName(), b.Enum().FullName(), n.Enum().FullName())
	}
	return nil
}
