// Package telemetry is what operators see: the log, the meters and the health
// of each part.
//
// None of the three ever carries a personal value. The log gets its attributes
// from code that follows that rule, and Secret hides what must not be printed;
// meters have only the labels declared here; health speaks in codes and fixed
// sentences.
package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/lienthong/lienthong"
)

// LogConfig says how the log is written.
type LogConfig struct {
	// Level is "debug", "info", "warn" or "error". Empty: "info".
	Level string
	// Format is "text" or "json". Empty: "text".
	Format string
	// Writer takes the lines. Needed.
	Writer io.Writer
}

// Validate reports everything that is wrong with the configuration.
func (c LogConfig) Validate() error {
	var problems []error
	if _, err := c.level(); err != nil {
		problems = append(problems, err)
	}
	switch c.Format {
	case "", "text", "json":
	default:
		problems = append(problems, &lienthong.Error{
			Code: "telemetry.format", Where: c.Format,
			Vi: "định dạng nhật ký không hợp lệ", En: "not a log format we know",
			Hint: "viết text hoặc json / write text or json",
		})
	}
	if c.Writer == nil {
		problems = append(problems, errors.New("log: no writer"))
	}
	return errors.Join(problems...)
}

func (c LogConfig) level() (slog.Level, error) {
	switch c.Level {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, &lienthong.Error{
		Code: "telemetry.level", Where: c.Level,
		Vi: "mức nhật ký không hợp lệ", En: "not a log level we know",
		Hint: "viết debug, info, warn hoặc error / write debug, info, warn or error",
	}
}

// NewLogger makes the log. Coded errors given as attributes become groups, so
// that the code can be searched for.
func NewLogger(config LogConfig) (*slog.Logger, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	level, err := config.level()
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: codedErrors}
	if config.Format == "json" {
		return slog.New(slog.NewJSONHandler(config.Writer, options)), nil
	}
	return slog.New(slog.NewTextHandler(config.Writer, options)), nil
}

func codedErrors(_ []string, attr slog.Attr) slog.Attr {
	err, ok := attr.Value.Any().(error)
	if !ok {
		return attr
	}
	var coded *lienthong.Error
	if !errors.As(err, &coded) {
		return slog.String(attr.Key, err.Error())
	}
	return slog.Group(attr.Key, slog.String("code", coded.Code), slog.String("text", err.Error()))
}

// hidden stands wherever a secret would be printed.
const hidden = "[hidden]"

// Secret is a value that is never printed: a password, a token, a DSN. However
// it is formatted, logged or marshalled, a fixed word appears. Only Reveal
// gives the value.
type Secret string

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// Format hides the value from every verb, such as %x.
func (s Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, s.String()) }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from text formats; UnmarshalText reads it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON hides the value from JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalText reads a value.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// UnmarshalJSON reads a value.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("a secret must be a string") // the cause would quote it
	}
	*s = Secret(text)
	return nil
}

// Discard is a log that goes nowhere, for tests and tools.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Stopped reports whether an error only says that the work was told to stop,
// which is not worth a line in the log.
func Stopped(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}
