package lienthong

import (
	"errors"
	"strings"
)

// Error is what a person is told: a stable code, what was wrong in both
// languages, where, and what to do next. It never carries a personal value.
type Error struct {
	Code  string // stable and dotted: "batch.forged"
	Vi    string
	En    string
	Where string // the place: a file and line, a column, a stream; may be empty
	Hint  string // what to do next; may be empty
	Err   error  // the cause, for the log; may be nil
}

// Error is the English text with code and place.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code)
	b.WriteString(": ")
	b.WriteString(e.En)
	if e.Where != "" {
		b.WriteString(" (")
		b.WriteString(e.Where)
		b.WriteString(")")
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors with the same code equal, so that errors.Is works with a
// bare &Error{Code: …} as the target.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Vi == "" && t.En == ""
}

// ErrorCode returns the stable code of the first coded error in the chain,
// "internal" for any other error, and "" for nil.
func ErrorCode(err error) string {
	if err == nil {
		return ""
	}
	var coded *Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return "internal"
}
