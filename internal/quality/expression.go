package quality

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/lienthong/lienthong"
	"github.com/lienthong/lienthong/internal/dictionary"
)

// maxExpression is how long an expression may be, in characters.
const maxExpression = 4000

// variables shows a row to CEL expressions under the names of its fields: text
// as string, integer as int, decimal and real as double, boolean as bool, date
// (midnight UTC) and timestamp as timestamp, binary as bytes; "now" is the time
// of the check. It is built once and pointed at one row after the other.
type variables struct {
	index  map[string]int
	fields []lienthong.Field
	row    []lienthong.Value
	at     int64
}

const nowVariable = "now"

func newVariables(shape *lienthong.Shape) *variables {
	v := &variables{index: make(map[string]int, len(shape.Fields)), fields: shape.Fields}
	for i := range shape.Fields {
		v.index[shape.Fields[i].Name] = i
	}
	return v
}

func (v *variables) clone() *variables {
	return &variables{index: v.index, fields: v.fields}
}

// ResolveName gives the value of a field.
func (v *variables) ResolveName(name string) (any, bool) {
	i, found := v.index[name]
	if !found {
		if name == nowVariable {
			return types.Timestamp{Time: time.UnixMicro(v.at).UTC()}, true
		}
		return nil, false
	}
	return celValue(&v.row[i], v.fields[i].Kind), true
}

// Parent is nil: there is nothing outside the row.
func (v *variables) Parent() cel.Activation { return nil }

func celValue(value *lienthong.Value, kind lienthong.Kind) ref.Val {
	if value.State != lienthong.Present {
		return types.NullValue
	}
	switch kind {
	case lienthong.Text:
		return types.String(value.Bytes)
	case lienthong.Integer:
		return types.Int(value.Int)
	case lienthong.Decimal:
		number, err := strconv.ParseFloat(string(value.Bytes), 64)
		if err != nil {
			return types.Double(math.NaN())
		}
		return types.Double(number)
	case lienthong.Real:
		return types.Double(math.Float64frombits(uint64(value.Int))) // #nosec G115 -- the bits of a float
	case lienthong.Boolean:
		return types.Bool(value.Int != 0)
	case lienthong.Date:
		return types.Timestamp{Time: time.Unix(min(max(value.Int, -maxDay), maxDay)*86400, 0).UTC()}
	case lienthong.Timestamp:
		return types.Timestamp{Time: time.UnixMicro(value.Int).UTC()}
	case lienthong.Binary:
		return types.Bytes(value.Bytes)
	}
	return types.NullValue
}

func celType(kind lienthong.Kind) *cel.Type {
	switch kind {
	case lienthong.Text:
		return cel.NullableType(cel.StringType)
	case lienthong.Integer:
		return cel.NullableType(cel.IntType)
	case lienthong.Decimal, lienthong.Real:
		return cel.NullableType(cel.DoubleType)
	case lienthong.Boolean:
		return cel.NullableType(cel.BoolType)
	case lienthong.Date, lienthong.Timestamp:
		return cel.TimestampType
	case lienthong.Binary:
		return cel.NullableType(cel.BytesType)
	}
	return cel.DynType
}

// expression compiles a rule in CEL. It passes when a field that it reads is
// Unchanged or Malformed, because nothing can be said. A null field makes it
// pass too, unless the expression itself speaks of null: then it decides
// ("status != 'M' || spouse != null"), and passes only where a null keeps it
// from being computed. An expression that fails to compute on known values
// (division by zero, text that is no number) breaks the rule.
func (c *compiler) expression(rule *dictionary.Rule, out *check) {
	bad := func(hint string, err error) {
		c.problem("quality.cel", rule, "biểu thức CEL không đúng", "the CEL expression is wrong", hint, err)
	}
	if len(rule.Check.CEL) > maxExpression {
		bad(fmt.Sprintf("dài quá %d ký tự / longer than %d characters", maxExpression, maxExpression), nil)
		return
	}
	options := []cel.EnvOption{ext.Strings(ext.StringsVersion(3))}
	hasNow := false
	for i := range c.shape.Fields {
		options = append(options, cel.Variable(c.shape.Fields[i].Name, celType(c.shape.Fields[i].Kind)))
		hasNow = hasNow || c.shape.Fields[i].Name == nowVariable
	}
	if !hasNow {
		options = append(options, cel.Variable(nowVariable, cel.TimestampType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		bad("", err)
		return
	}
	checked, issues := env.Compile(rule.Check.CEL)
	if issues.Err() != nil {
		bad(issues.Err().Error(), nil)
		return
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		bad("biểu thức phải cho ra đúng hoặc sai / the expression must give true or false, not "+checked.OutputType().String(), nil)
		return
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		bad("", err)
		return
	}
	if c.vars == nil {
		c.vars = newVariables(c.shape)
	}
	reads, namesNull := c.readsOf(checked)
	c.checker.reads[out.rule] = reads
	out.needs = nothing
	out.pass = func(_ *lienthong.Value, row []lienthong.Value, s *state) bool {
		anyNull := false
		for _, field := range reads {
			switch row[field].State {
			case lienthong.Present:
				if s.has[field] == nothing {
					return true // not of its kind: the rule "type" has said so
				}
			case lienthong.Null:
				anyNull = true
			case lienthong.Unchanged, lienthong.Malformed:
				return true
			default:
				return true
			}
		}
		if anyNull && !namesNull {
			return true
		}
		s.vars.row, s.vars.at = row, s.at
		result, _, err := program.Eval(s.vars)
		s.vars.row = nil
		if err != nil {
			return anyNull
		}
		return result == types.True
	}
}

// readsOf lists the fields that an expression reads, and tells whether it
// speaks of null.
func (c *compiler) readsOf(checked *cel.Ast) (reads []int, namesNull bool) {
	seen := make([]bool, len(c.shape.Fields))
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			if i := c.shape.FieldIndex(e.AsIdent()); i >= 0 && !seen[i] {
				seen[i] = true
				reads = append(reads, i)
			}
		case ast.LiteralKind:
			if e.AsLiteral() == types.NullValue {
				namesNull = true
			}
		case ast.UnspecifiedExprKind, ast.CallKind, ast.ComprehensionKind, ast.ListKind, ast.MapKind, ast.SelectKind, ast.StructKind:
		}
	}))
	return reads, namesNull
}
