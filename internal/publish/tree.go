package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"go.yaml.in/yaml/v3"
)

// nodeOf makes a YAML node of a tree of objects, lists and plain values.
func nodeOf(value any) (*yaml.Node, error) {
	switch v := value.(type) {
	case *yaml.Node:
		return v, nil
	case object:
		node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for i := range v {
			key, err := nodeOf(v[i].name)
			if err != nil {
				return nil, err
			}
			item, err := nodeOf(v[i].value)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, key, item)
		}
		return node, nil
	case list:
		node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v {
			item, err := nodeOf(v[i])
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, item)
		}
		return node, nil
	}
	node := &yaml.Node{}
	if err := node.Encode(value); err != nil {
		return nil, fmt.Errorf("encode YAML: %w", err)
	}
	return node, nil
}

// encoded makes a tree of a structure by its yaml tags. Members without a value are left out.
func encoded(value any) (any, error) {
	node := &yaml.Node{}
	if err := node.Encode(value); err != nil {
		return nil, fmt.Errorf("encode YAML: %w", err)
	}
	tree, err := treeOf(node)
	if err != nil {
		return nil, err
	}
	return pruned(tree), nil
}

// pruned drops what is empty, false or 0.
func pruned(value any) any {
	switch v := value.(type) {
	case object:
		var kept object
		for i := range v {
			if item := pruned(v[i].value); item != nil {
				kept.add(v[i].name, item)
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case list:
		if len(v) == 0 {
			return nil
		}
		for i := range v {
			if object, is := v[i].(object); is {
				v[i] = pruned(object)
			}
		}
	case string:
		if v == "" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	case int:
		if v == 0 {
			return nil
		}
	}
	return value
}

// treeOf makes objects, lists and plain values of a YAML node. Aliases are refused: they can make a
// small file large.
func treeOf(node *yaml.Node) (any, error) {
	switch node.Kind {
	case yaml.DocumentNode:
		if len(node.Content) == 1 {
			return treeOf(node.Content[0])
		}
	case yaml.MappingNode:
		made := object{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if _, twice := made.get(key.Value); twice || key.Kind != yaml.ScalarNode {
				return nil, badTree(key.Line, "khoá viết hai lần hoặc không phải chữ", "a key stands twice, or is no plain text")
			}
			item, err := treeOf(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			made.add(key.Value, item)
		}
		return made, nil
	case yaml.SequenceNode:
		made := list{}
		for _, content := range node.Content {
			item, err := treeOf(content)
			if err != nil {
				return nil, err
			}
			made = append(made, item)
		}
		return made, nil
	case yaml.ScalarNode:
		return scalar(node)
	case yaml.AliasNode:
		return nil, badTree(node.Line, "không dùng bí danh YAML (*)", "YAML aliases (*) are not used here")
	}
	return nil, badTree(node.Line, "không phải YAML đúng cú pháp", "not well-formed YAML")
}

func scalar(node *yaml.Node) (any, error) {
	switch node.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var value bool
		if node.Decode(&value) == nil {
			return value, nil
		}
	case "!!int":
		if n, err := strconv.Atoi(node.Value); err == nil && strconv.Itoa(n) == node.Value {
			return n, nil
		}
		return number(node.Value), nil
	case "!!float":
		return number(node.Value), nil
	}
	return node.Value, nil // texts, and times as they are written
}

// number is a number of YAML as it is written: "0.50", "1e3", "0x10".
type number string

// MarshalYAML writes the number as it was.
func (n number) MarshalYAML() (any, error) {
	tag := "!!float"
	if _, err := strconv.ParseInt(string(n), 0, 64); err == nil {
		tag = "!!int"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: string(n)}, nil
}

func badTree(line int, vi, en string) error {
	return &lienthong.Error{Code: "contract.syntax", Where: strconv.Itoa(line), Vi: vi, En: en}
}

// maxTree bounds a file that is read into a tree.
const maxTree = 4 << 20

// readTree reads one YAML document.
func readTree(name string, data []byte) (object, error) {
	failed := func(vi, en string, cause error) error {
		return &lienthong.Error{Code: "contract.syntax", Where: name, Vi: vi, En: en, Err: cause}
	}
	if len(data) > maxTree {
		return nil, failed("tệp quá lớn", "the file is too large", nil)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, failed("không phải YAML đúng cú pháp", "not well-formed YAML", err)
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, failed("tệp có nhiều hơn một tài liệu YAML", "the file has more than one YAML document", err)
	}
	tree, err := treeOf(&document)
	if err != nil {
		var coded *lienthong.Error
		if errors.As(err, &coded) {
			coded.Where = name + ":" + coded.Where
		}
		return nil, err
	}
	root, is := tree.(object)
	if !is {
		return nil, failed("cần các cặp khoá: giá trị", "keys with values are needed", nil)
	}
	return root, nil
}

// writeYAML writes a tree.
func writeYAML(w io.Writer, tree object) error {
	node, err := nodeOf(tree)
	if err != nil {
		return err
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(node), encoder.Close()); err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return nil
}

// Reading members of a tree; what is not of the kind counts as absent.

func (o object) text(name string) string {
	value, _ := o.get(name)
	return plainText(value)
}

// plainText is a scalar as people write it.
func plainText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case number:
		return string(v)
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

func (o object) items(name string) list {
	value, _ := o.get(name)
	items, _ := value.(list)
	return items
}

func (o object) object(name string) object {
	value, _ := o.get(name)
	made, _ := value.(object)
	return made
}

func (o object) flag(name string) bool {
	value, _ := o.get(name)
	set, _ := value.(bool)
	return set
}

// without is the object with some members left out.
func (o object) without(names ...string) object {
	var made object
	for i := range o {
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+o[i].name+" ") {
			made = append(made, o[i])
		}
	}
	return made
}
