package push

import (
	"bufio"
	"encoding/xml"
	"io"
	"strconv"
)

// answer writes an answer in the media type of the request. Both forms have the same names:
// in XML the whole is <Result>, and an entry of a list is <item>.
type answer struct {
	out   *bufio.Writer
	xml   bool
	first bool // the next JSON member is the first of its object or list
	raw   []byte
}

func newAnswer(out io.Writer, asXML bool) *answer {
	a := &answer{out: bufio.NewWriterSize(out, 32<<10), xml: asXML, first: true}
	if asXML {
		a.put(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<Result>")
	} else {
		a.put("{")
	}
	return a
}

// finish ends the answer. The connection's errors show here.
func (a *answer) finish() error {
	if a.xml {
		a.put("</Result>\n")
	} else {
		a.put("}\n")
	}
	return a.out.Flush()
}

func (a *answer) put(text string) { _, _ = a.out.WriteString(text) } // Flush returns the error

// name begins a member.
func (a *answer) name(name string) {
	if a.xml {
		a.put("<" + name + ">")
		return
	}
	if !a.first {
		a.put(",")
	}
	a.first = false
	a.put(`"` + name + `":`)
}

func (a *answer) end(name string) {
	if a.xml {
		a.put("</" + name + ">")
	}
}

// text writes a member; an empty one is left out.
func (a *answer) text(name, value string) {
	if value == "" {
		return
	}
	a.name(name)
	if a.xml {
		_ = xml.EscapeText(a.out, []byte(value))
	} else {
		a.raw = appendJSONText(a.raw[:0], value)
		_, _ = a.out.Write(a.raw)
	}
	a.end(name)
}

func (a *answer) number(name string, value int64) {
	a.name(name)
	a.put(strconv.FormatInt(value, 10))
	a.end(name)
}

// object writes a member that has members.
func (a *answer) object(name string, members func()) {
	a.name(name)
	a.braces(members)
	a.end(name)
}

func (a *answer) braces(members func()) {
	if !a.xml {
		a.put("{")
	}
	a.first = true
	members()
	a.first = false
	if !a.xml {
		a.put("}")
	}
}

// list writes a member that has entries, each written by one call.
func (a *answer) list(name string, count int, entry func(i int)) {
	a.name(name)
	if !a.xml {
		a.put("[")
	}
	for i := range count {
		if a.xml {
			a.put("<item>")
		} else if i > 0 {
			a.put(",")
		}
		a.braces(func() { entry(i) })
		if a.xml {
			a.put("</item>")
		}
	}
	if !a.xml {
		a.put("]")
	}
	a.first = false
	a.end(name)
}
