package quality

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// pattern decides whether a whole value matches an RE2 expression. Patterns of
// our trade are short and their values ASCII, so the expression is turned into
// a table once: one look-up per byte instead of a general matcher. Values
// with other bytes, and expressions that need look-around or grow too large, go
// to package regexp; both ways give the same answer.
type pattern struct {
	expression *regexp.Regexp
	next       []uint8 // [state<<7 | byte]; state 0 refuses
	accept     []bool
}

const maxPatternStates = 128

func compilePattern(text string) (*pattern, error) {
	if _, err := regexp.Compile(text); err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	anchored := `\A(?:` + text + `)\z`
	expression, err := regexp.Compile(anchored)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	p := &pattern{expression: expression}
	tree, err := syntax.Parse(anchored, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	p.buildTable(program)
	return p, nil
}

func (p *pattern) match(value []byte) bool {
	if p.next == nil {
		return p.expression.Match(value)
	}
	state := uint8(1)
	for _, c := range value {
		if c >= utf8.RuneSelf {
			return p.expression.Match(value)
		}
		if state = p.next[int(state)<<7|int(c)]; state == 0 {
			return false
		}
	}
	return p.accept[state]
}

// buildTable makes the table by the subset construction; it leaves the table
// empty when the expression does not fit.
func (p *pattern) buildTable(program *syntax.Prog) {
	for i := range program.Inst {
		inst := &program.Inst[i]
		if inst.Op == syntax.InstEmptyWidth &&
			syntax.EmptyOp(inst.Arg)&^(syntax.EmptyBeginText|syntax.EmptyEndText) != 0 {
			return
		}
	}
	walk := func(from []uint32, holds syntax.EmptyOp) []uint32 {
		var reached []uint32
		pending := slices.Clone(from)
		for len(pending) > 0 {
			pc := pending[len(pending)-1]
			pending = pending[:len(pending)-1]
			if slices.Contains(reached, pc) {
				continue
			}
			reached = append(reached, pc)
			inst := &program.Inst[pc]
			switch inst.Op {
			case syntax.InstAlt, syntax.InstAltMatch:
				pending = append(pending, inst.Out, inst.Arg)
			case syntax.InstCapture, syntax.InstNop:
				pending = append(pending, inst.Out)
			case syntax.InstEmptyWidth:
				if syntax.EmptyOp(inst.Arg)&^holds == 0 {
					pending = append(pending, inst.Out)
				}
			case syntax.InstMatch, syntax.InstFail, syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			}
		}
		slices.Sort(reached)
		return reached
	}
	matches := func(set []uint32, holds syntax.EmptyOp) bool {
		return slices.ContainsFunc(walk(set, holds), func(pc uint32) bool { return program.Inst[pc].Op == syntax.InstMatch })
	}

	start := walk([]uint32{uint32(program.Start)}, syntax.EmptyBeginText)
	sets := [][]uint32{nil, start}
	accept := []bool{false, matches(start, syntax.EmptyBeginText|syntax.EmptyEndText)}
	numbers := map[string]uint8{}
	next := make([]uint8, 2<<7)
	for current := 1; current < len(sets); current++ {
		for c := rune(0); c < utf8.RuneSelf; c++ {
			var out []uint32
			for _, pc := range sets[current] {
				inst := &program.Inst[pc]
				switch inst.Op {
				case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
					if inst.MatchRune(c) {
						out = append(out, inst.Out)
					}
				case syntax.InstAlt, syntax.InstAltMatch, syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstMatch, syntax.InstFail, syntax.InstNop:
				}
			}
			if len(out) == 0 {
				continue
			}
			set := walk(out, 0)
			key := setKey(set)
			number, known := numbers[key]
			if !known {
				if len(sets) == maxPatternStates {
					return
				}
				number = uint8(len(sets)) // #nosec G115 -- at most maxPatternStates
				numbers[key] = number
				sets = append(sets, set)
				accept = append(accept, matches(set, syntax.EmptyEndText))
				next = append(next, make([]uint8, 1<<7)...)
			}
			next[current<<7|int(c)] = number
		}
	}
	p.next, p.accept = next, accept
}

func setKey(set []uint32) string {
	key := make([]byte, 0, 4*len(set))
	for _, pc := range set {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	return string(key)
}
