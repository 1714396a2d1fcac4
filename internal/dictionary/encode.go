package dictionary

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// MarshalElement writes an element as YAML in the order of its attributes. What it
// leaves out has no value, so that ParseElement gives the same element back.
func MarshalElement(element *Element) ([]byte, error) { return marshalYAML(element) }

// ParseElement reads one element from YAML or JSON. name stands in messages,
// normally the file's name. The error joins one *lienthong.Error for each problem. What the
// element refers to is checked by Dictionary.With.
func ParseElement(name string, data []byte) (*Element, error) {
	p := &problems{file: name}
	element := &Element{}
	decodeStrict(p, data, element)
	if len(p.list) > 0 {
		return nil, p.err()
	}
	line := element.Line
	(&elementDefaults{}).fill(element)
	element.check(p, line)
	if len(p.list) > 0 {
		return nil, p.err()
	}
	element.Line = 0
	return element, nil
}

// ParseElements reads a file of elements, in the form of the dictionary's own files:
// "elements:" with "defaults:" beside it.
func ParseElements(name string, data []byte) ([]Element, error) {
	p := &problems{file: name}
	var content struct {
		Defaults elementDefaults `yaml:"defaults"`
		Elements []Element       `yaml:"elements"`
	}
	decodeStrict(p, data, &content)
	if len(p.list) > 0 {
		return nil, p.err()
	}
	for i := range content.Elements {
		element := &content.Elements[i]
		content.Defaults.fill(element)
		element.check(p, element.Line)
		element.Line = 0
	}
	if len(p.list) > 0 {
		return nil, p.err()
	}
	return content.Elements, nil
}

// MarshalElements writes what ParseElements reads.
func MarshalElements(elements []Element) ([]byte, error) {
	return marshalYAML(&struct {
		Elements []Element `yaml:"elements"`
	}{elements})
}

// MarshalCodeList writes a code list as YAML, in the form of the dictionary's own files.
func MarshalCodeList(list *CodeList) ([]byte, error) { return marshalYAML(list.file()) }

// ParseCodeList reads one code list from YAML or JSON.
func ParseCodeList(name string, data []byte) (*CodeList, error) {
	p := &problems{file: name}
	var content listFile
	decodeStrict(p, data, &content)
	if len(p.list) > 0 {
		return nil, p.err()
	}
	list := content.build(p)
	if len(p.list) > 0 {
		return nil, p.err()
	}
	return list, nil
}

// MarshalJSON writes the element with the keys that it has in YAML.
func (e Element) MarshalJSON() ([]byte, error) { return marshalJSON(e) }

// UnmarshalJSON reads what MarshalJSON writes, as strictly as ParseElement.
func (e *Element) UnmarshalJSON(data []byte) error {
	parsed, err := ParseElement("element", data)
	if err != nil {
		return err
	}
	*e = *parsed
	return nil
}

// MarshalJSON writes the list with the keys that it has in YAML.
func (l *CodeList) MarshalJSON() ([]byte, error) { return marshalJSON(*l.file()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (l *CodeList) UnmarshalJSON(data []byte) error {
	parsed, err := ParseCodeList("code_list", data)
	if err != nil {
		return err
	}
	*l = *parsed
	return nil
}

func marshalYAML(value any) ([]byte, error) {
	node, err := encodeNode(reflect.ValueOf(value))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(node), encoder.Close()); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}

func marshalJSON(value any) ([]byte, error) {
	node, err := encodeNode(reflect.ValueOf(value))
	if err != nil {
		return nil, err
	}
	return appendJSON(nil, node)
}

const (
	textTag = "!!str"
	intTag  = "!!int"
	boolTag = "!!bool"
)

// encodeNode is the counterpart of decodeStrict: it writes the structures of this
// package by their yaml tags. Members without a value are left out, except those that
// write themselves.
func encodeNode(value reflect.Value) (*yaml.Node, error) {
	if value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	if custom, ok := value.Interface().(encoding.TextMarshaler); ok {
		text, err := custom.MarshalText()
		if err != nil {
			return nil, fmt.Errorf("write %T: %w", value.Interface(), err)
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: textTag, Value: string(text)}, nil
	}
	switch value.Kind() {
	case reflect.Struct:
		node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for i := range value.NumField() {
			tag := value.Type().Field(i).Tag.Get("yaml")
			field := value.Field(i)
			_, writesItself := field.Interface().(encoding.TextMarshaler)
			if tag == "" || tag == "-" || !writesItself && empty(field) {
				continue
			}
			item, err := encodeNode(field)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: textTag, Value: tag}, item)
		}
		return node, nil
	case reflect.Slice:
		node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if value.Type().Elem().Kind() == reflect.String {
			node.Style = yaml.FlowStyle
		}
		for i := range value.Len() {
			item, err := encodeNode(value.Index(i))
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, item)
		}
		return node, nil
	case reflect.String:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: textTag, Value: value.String()}, nil
	case reflect.Int, reflect.Int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: intTag, Value: strconv.FormatInt(value.Int(), 10)}, nil
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: boolTag, Value: strconv.FormatBool(value.Bool())}, nil
	default:
		// Only the types of this package's own structures come here.
		return nil, fmt.Errorf("write %s: unsupported type", value.Type())
	}
}

func empty(value reflect.Value) bool {
	if value.Kind() == reflect.Slice {
		return value.Len() == 0
	}
	return value.IsZero()
}

// appendJSON writes a node of encodeNode as JSON, keys in their order.
func appendJSON(dst []byte, node *yaml.Node) ([]byte, error) {
	switch {
	case node.Kind == yaml.MappingNode:
		dst = append(dst, '{')
		for i := 0; i+1 < len(node.Content); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSON(dst, node.Content[i]); err != nil {
				return nil, err
			}
			dst = append(dst, ':')
			if dst, err = appendJSON(dst, node.Content[i+1]); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case node.Kind == yaml.SequenceNode:
		dst = append(dst, '[')
		for i, item := range node.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSON(dst, item); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case node.Tag == intTag || node.Tag == boolTag:
		return append(dst, node.Value...), nil
	}
	text, err := json.Marshal(node.Value)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return append(dst, text...), nil
}
