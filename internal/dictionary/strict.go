package dictionary

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/lienthong/lienthong"
	"go.yaml.in/yaml/v3"
)

// maxYAMLSize bounds a file that people write by hand.
const maxYAMLSize = 1 << 20

// problems collects everything that is wrong with one file or definition.
type problems struct {
	file string
	list []error
}

// add records a problem at a line; line 0 means the whole file.
func (p *problems) add(line int, code, vi, en, hint string) {
	p.list = append(p.list, &lienthong.Error{Code: code, Vi: vi, En: en, Where: p.where(line), Hint: hint})
}

func (p *problems) where(line int) string {
	if line == 0 {
		return p.file
	}
	return p.file + ":" + strconv.Itoa(line)
}

func (p *problems) err() error { return errors.Join(p.list...) }

// decodeStrict fills target from one YAML document. Unlike the library's own
// decoding it names every unknown key, doubled key and wrong type at once, with
// its line, and takes a scalar's text as it is written: a code "01" or "N" is text, never a
// number or a boolean. Aliases are refused; a definition has no use for them.
func decodeStrict(p *problems, data []byte, target any) {
	if len(data) > maxYAMLSize {
		p.add(0, "definition.size", "tệp quá lớn", "the file is too large", "tối đa 1 MiB / at most 1 MiB")
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			p.add(0, "definition.empty", "tệp rỗng", "the file is empty", "")
			return
		}
		p.syntax(err)
		return
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		p.add(second.Line, "definition.syntax", "tệp có nhiều hơn một tài liệu YAML", "the file has more than one YAML document", "mỗi tệp một định nghĩa / one definition a file")
	} else if !errors.Is(err, io.EOF) {
		p.syntax(err)
	}
	if len(document.Content) != 1 {
		p.add(0, "definition.empty", "tệp rỗng", "the file is empty", "")
		return
	}
	p.decode(document.Content[0], reflect.ValueOf(target).Elem(), "")
}

func (p *problems) syntax(err error) {
	line, text := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if found := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text); found != nil {
		line, _ = strconv.Atoi(found[1]) // digits by the pattern; an overflow means no line
		text = strings.TrimPrefix(text, found[0])
	}
	p.add(line, "definition.syntax", "không phải YAML đúng cú pháp: "+text, "not valid YAML: "+text,
		"thụt lề bằng dấu cách, đặt trong dấu nháy giá trị có dấu : hoặc # / indent with spaces, quote values with : or #")
}

func (p *problems) decode(node *yaml.Node, target reflect.Value, key string) {
	if node.Kind == yaml.AliasNode {
		p.add(node.Line, "definition.alias", "không dùng bí danh YAML (*)", "YAML aliases (*) are not used here", "viết giá trị ra / write the value out")
		return
	}
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return
	}
	if target.CanAddr() {
		if custom, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
			p.decodeCustom(node, custom, key)
			return
		}
	}
	switch target.Kind() {
	case reflect.Pointer:
		value := reflect.New(target.Type().Elem())
		p.decode(node, value.Elem(), key)
		target.Set(value)
	case reflect.Struct:
		p.decodeStruct(node, target, key)
	case reflect.Slice:
		if node.Kind != yaml.SequenceNode {
			p.expected(node, key, "danh sách", "a list")
			return
		}
		list := reflect.MakeSlice(target.Type(), len(node.Content), len(node.Content))
		for i, item := range node.Content {
			p.decode(item, list.Index(i), key)
		}
		target.Set(list)
	case reflect.Map:
		if node.Kind != yaml.MappingNode {
			p.expected(node, key, "các cặp khoá: giá trị", "keys with values")
			return
		}
		table := reflect.MakeMapWithSize(target.Type(), len(node.Content)/2)
		p.pairs(node, func(name, value *yaml.Node) {
			item := reflect.New(target.Type().Elem()).Elem()
			p.decode(value, item, name.Value)
			table.SetMapIndex(reflect.ValueOf(name.Value).Convert(target.Type().Key()), item)
		})
		target.Set(table)
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		p.decodeScalar(node, target, key)
	default:
		// Only the types of this package's own structures come here.
		p.add(node.Line, "definition.internal", "kiểu không được hỗ trợ", "unsupported type "+target.Type().String(), "")
	}
}

func (p *problems) decodeScalar(node *yaml.Node, target reflect.Value, key string) {
	if node.Kind != yaml.ScalarNode {
		p.expected(node, key, "một giá trị", "one value")
		return
	}
	switch target.Kind() {
	case reflect.String:
		target.SetString(node.Value)
	case reflect.Bool:
		switch node.Value {
		case "true":
			target.SetBool(true)
		case "false":
			target.SetBool(false)
		default:
			p.expected(node, key, "true hoặc false", "true or false")
		}
	default:
		n, err := strconv.ParseInt(node.Value, 10, 64)
		if err != nil || target.OverflowInt(n) {
			p.expected(node, key, "một số nguyên", "a whole number")
			return
		}
		target.SetInt(n)
	}
}

func (p *problems) decodeCustom(node *yaml.Node, custom encoding.TextUnmarshaler, key string) {
	if node.Kind != yaml.ScalarNode {
		p.expected(node, key, "một giá trị", "one value")
		return
	}
	err := custom.UnmarshalText([]byte(node.Value))
	if err == nil {
		return
	}
	var coded *lienthong.Error
	if errors.As(err, &coded) {
		p.add(node.Line, coded.Code, key+": "+coded.Vi, key+": "+coded.En, coded.Hint)
		return
	}
	p.add(node.Line, "definition.value", key+": giá trị không đúng", key+": "+err.Error(), "")
}

func (p *problems) decodeStruct(node *yaml.Node, target reflect.Value, key string) {
	if node.Kind != yaml.MappingNode {
		p.expected(node, key, "các cặp khoá: giá trị", "keys with values")
		return
	}
	fields := map[string]int{}
	var names []string
	for i := range target.NumField() {
		switch name := target.Type().Field(i).Tag.Get("yaml"); name {
		case "-":
			if target.Type().Field(i).Name == "Line" {
				target.Field(i).SetInt(int64(node.Line))
			}
		case "":
		default:
			fields[name] = i
			names = append(names, name)
		}
	}
	p.pairs(node, func(name, value *yaml.Node) {
		i, known := fields[name.Value]
		if !known {
			hint := "dùng được / known: " + strings.Join(names, ", ")
			if near := nearest(name.Value, names); near != "" {
				hint = fmt.Sprintf("có phải %q? / did you mean %q?", near, near)
			}
			p.add(name.Line, "definition.key", fmt.Sprintf("khoá %q không có", name.Value), fmt.Sprintf("unknown key %q", name.Value), hint)
			return
		}
		p.decode(value, target.Field(i), name.Value)
	})
}

// pairs visits the keys of a mapping and refuses doubled and structured ones.
func (p *problems) pairs(node *yaml.Node, visit func(name, value *yaml.Node)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i]
		if name.Kind != yaml.ScalarNode {
			p.expected(name, "", "khoá là chữ", "a plain key")
			continue
		}
		if seen[name.Value] {
			p.add(name.Line, "definition.key", fmt.Sprintf("khoá %q viết hai lần", name.Value), fmt.Sprintf("key %q stands twice", name.Value), "")
			continue
		}
		seen[name.Value] = true
		visit(name, node.Content[i+1])
	}
}

func (p *problems) expected(node *yaml.Node, key, vi, en string) {
	if key != "" {
		vi, en = key+": "+vi, key+": "+en
	}
	p.add(node.Line, "definition.type", "cần "+vi, "expected "+en, "")
}

// nearest returns the candidate that is one or two letters away, for hints.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", 3
	for _, candidate := range candidates {
		if d := editDistance(name, candidate); d < bestDistance && d < len(candidate) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// editDistance counts insertions, deletions and replacements of bytes. Long names
// are not compared: a hint is not worth the time.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	previous := make([]int, len(b)+1)
	current := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(previous[j]+cost, previous[j+1]+1, current[j]+1)
		}
		previous, current = current, previous
	}
	return previous[len(b)]
}
