package retake

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Failure says why an attempt failed and what is known about trying again. Any other error becomes one whose code is the
// name of its type, and "error" where that says nothing.
type Failure struct {
	// Code is what policies and people go by: short, dotted, without values in it, such as `http.503`.
	Code string
	// Message is for people.
	Message string
	// Final lets no retry be made, whatever the policy says.
	Final bool
	// After asks for the next attempt after that wait rather than after the policy's.
	After time.Duration
	// Details are what a program may want to know: anything that becomes JSON.
	Details any
}

// Error returns the code and the message.
func (f *Failure) Error() string {
	if f.Message == "" {
		return f.Code
	}
	return f.Code + ": " + f.Message
}

// Is tells whether the other error is a failure with the same code.
func (f *Failure) Is(other error) bool {
	it, ok := other.(*Failure)
	return ok && it.Code == f.Code
}

// Fail returns a failure that is retried as the policy says.
func Fail(code, format string, values ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, values...)}
}

// Permanent returns a failure that no retry can mend.
func Permanent(code, format string, values ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, values...), Final: true}
}

// failureOf returns the failure that an error is.
func failureOf(err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		if failure.Error() == err.Error() {
			return failure
		}
		// What was wrapped around it is for people.
		wrapped := *failure
		wrapped.Message = err.Error()
		return &wrapped
	}
	return &Failure{Code: codeOf(err), Message: err.Error()}
}

func codeOf(err error) string {
	kind := reflect.TypeOf(err)
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	switch name := kind.Name(); name {
	case "", "errorString", "wrapError", "wrapErrors", "joinError":
		if inner := errors.Unwrap(err); inner != nil {
			return codeOf(inner)
		}
		return "error"
	default:
		return name
	}
}

func (f *Failure) detailsJSON() (string, bool) {
	if f.Details == nil {
		return "", false
	}
	text, err := json.Marshal(f.Details)
	// A failure must not be lost to a mistake in its details.
	return string(text), err == nil
}
