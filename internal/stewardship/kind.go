package stewardship

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"

	"github.com/lienthong/lienthong"
)

// Subject is what a kind is asked about: the content in force, and the one that is proposed.
type Subject struct {
	Kind   string
	ID     string
	Before json.RawMessage // nil: no version is in force
	After  json.RawMessage // nil: the item is to be retired
}

// Kind is one sort of administered things. Name is required; every function may be nil. They are
// called by several goroutines at once.
type Kind struct {
	Name    string // "element"
	Title   Word
	Consult bool // approval needs a consultation that is over
	// Existing is the content of an item that is in force although nobody has administered it here: an
	// element that came with the program. It is published from the beginning.
	Existing func(id string) (json.RawMessage, Version, bool)
	// Validate lists what is missing or wrong in the content, and where.
	Validate func(Subject) []*lienthong.Error
	// Compare lists what the proposal changes. Without it the two JSON texts are compared.
	Compare func(Subject) []Change
	// Impact says who uses the item, and for whom the proposal breaks something.
	Impact func(context.Context, Subject) (Impact, error)
	// Permit refuses people who may not write this very item, whatever their role.
	Permit func(Person, Subject) error
	// Published is called after a version has been published or the item retired (After is nil
	// then). The step is already recorded: what it does must be repeatable from the items in force.
	Published func(context.Context, Subject, Version) error
	// Changed is called after every step.
	Changed func(id string)
}

func (k *Kind) validate(s Subject) []*lienthong.Error {
	if k.Validate == nil {
		return nil
	}
	return k.Validate(s)
}

func (k *Kind) compare(s Subject) []Change {
	if k.Compare != nil {
		return k.Compare(s)
	}
	return CompareJSON(s.Before, s.After)
}

func (k *Kind) impact(ctx context.Context, s Subject) (Impact, error) {
	if k.Impact == nil {
		return Impact{}, nil
	}
	impact, err := k.Impact(ctx, s)
	if err != nil {
		return Impact{}, fmt.Errorf("find what uses %s %s: %w", s.Kind, s.ID, err)
	}
	return impact, nil
}

// CompareJSON lists the places at which two JSON texts differ. The members of an object are
// compared one by one; so are the elements of a list that have a name of their own: "id", "code", "duty", "name", "number".
func CompareJSON(before, after []byte) []Change {
	var changes []Change
	compareValues("", decode(before), decode(after), &changes)
	return changes
}

// decode reads JSON; what is not JSON is nothing.
func decode(text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return nil
	}
	return v
}

func compareValues(where string, before, after any, changes *[]Change) {
	a, objectA := members(before)
	b, objectB := members(after)
	if (objectA || empty(before)) && (objectB || empty(after)) && (objectA || objectB) && (where == "" || objectA && objectB) {
		names := make([]string, 0, len(a)+len(b))
		for name := range a {
			names = append(names, name)
		}
		for name := range b {
			if _, both := a[name]; !both {
				names = append(names, name)
			}
		}
		sort.Strings(names)
		for _, name := range names {
			inner := name
			if where != "" {
				inner = where + "." + name
			}
			compareValues(inner, a[name], b[name], changes)
		}
		return
	}
	was, is := written(before), written(after)
	if was == is {
		return
	}
	c := Change{Where: where, Before: was, After: is, Vi: "sửa " + where, En: where + " changed"}
	switch {
	case was == "":
		c.Vi, c.En = "thêm "+where, where+" added"
	case is == "":
		c.Vi, c.En = "bỏ "+where, where+" removed"
	}
	*changes = append(*changes, c)
}

// members are the parts of a value that are compared by themselves.
func members(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case []any:
		parts := make(map[string]any, len(v))
		for _, element := range v {
			key := ownName(element)
			if _, twice := parts[key]; key == "" || twice {
				return nil, false
			}
			parts[key] = element
		}
		return parts, len(parts) > 0
	}
	return nil, false
}

func ownName(element any) string {
	object, ok := element.(map[string]any)
	if !ok {
		return ""
	}
	for _, key := range []string{"id", "code", "duty", "name", "number"} {
		if name, ok := object[key].(string); ok {
			return name
		}
	}
	return ""
}

func empty(v any) bool { return written(v) == "" }

// written is a value as people read it; nothing, an empty text and an empty list are the same.
func written(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		if len(v) == 0 {
			return ""
		}
	case map[string]any:
		if len(v) == 0 {
			return ""
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// breaking tells whether one of the changes breaks something.
func breaking(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Breaking })
}
