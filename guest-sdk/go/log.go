package retake

import (
	"fmt"
	"strings"
)

// Debug writes a log line for the day on which something is odd. Fields are names and values in turn, as in log/slog.
func Debug(message string, fields ...any) { write(debugLevel, message, fields) }

// Info writes a log line: a step in the life of the run.
func Info(message string, fields ...any) { write(infoLevel, message, fields) }

// Warn writes a log line that somebody may want to look at.
func Warn(message string, fields ...any) { write(warnLevel, message, fields) }

// Error writes a log line that somebody has to look at.
func Error(message string, fields ...any) { write(errorLevel, message, fields) }

func fieldsJSON(fields []any) string {
	if len(fields) == 0 {
		return ""
	}
	object := map[string]any{}
	for n := 0; n+1 < len(fields); n += 2 {
		object[fmt.Sprint(fields[n])] = fields[n+1]
	}
	if text, err := encode(object); err == nil {
		return text
	}
	// What JSON cannot say is told as text.
	for name, value := range object {
		object[name] = strings.ToValidUTF8(fmt.Sprint(value), "\uFFFD")
	}
	text, _ := encode(object) // Only a name can be no text, and then an entry without fields is better than none.
	return text
}
