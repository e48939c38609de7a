package retake

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
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
	if denied := deniedOf(err); denied != nil {
		return denied
	}
	message := said(err)
	var failure *Failure
	if errors.As(err, &failure) && failure != nil {
		if failure.Error() == message {
			return failure
		}
		// What was wrapped around it is for people.
		wrapped := *failure
		wrapped.Message = message
		return &wrapped
	}
	return &Failure{Code: codeOf(err), Message: message}
}

// said returns what an error says, even when it is a nil pointer and panics over it.
func said(err error) (text string) {
	defer func() {
		if reason := recover(); reason != nil {
			text = fmt.Sprintf("an error of the type %T that says nothing: %v", err, reason)
		}
	}()
	return err.Error()
}

// deniedOf returns the failure of whoever asked for the network: `net` has none here, and says so in many ways. It is known by
// the names of its types, because a component without it is smaller by a third.
func deniedOf(err error) *Failure {
	host, isNetwork := "", false
	for it := err; it != nil; it = errors.Unwrap(it) {
		value := reflect.Indirect(reflect.ValueOf(it))
		if value.Kind() != reflect.Struct {
			continue
		}
		text := func(field string) string {
			if it := value.FieldByName(field); it.Kind() == reflect.String {
				return it.String()
			}
			return ""
		}
		switch of := value.Type(); of.PkgPath() + "." + of.Name() {
		case "net/url.Error":
			if _, rest, found := strings.Cut(text("URL"), "://"); found {
				host, _, _ = strings.Cut(strings.FieldsFunc(rest+"/", func(c rune) bool { return c == '/' || c == '?' })[0], ":")
			}
		case "net.DNSError":
			isNetwork, host = true, text("Name")
		case "net.OpError":
			op := text("Op")
			isNetwork = isNetwork || op == "dial" || op == "listen"
			if at, is := value.FieldByName("Addr").Interface().(fmt.Stringer); is && host == "" {
				host, _, _ = strings.Cut(at.String(), ":")
			}
		}
	}
	if !isNetwork {
		return nil
	}
	what := "it"
	failure := &Failure{Code: "sandbox.denied", Final: true}
	if host != "" {
		what, failure.Details = "`"+host+"`", map[string]string{"host": host}
	}
	failure.Message = "the network is not granted to this run: " + what +
		" cannot be reached from a sandbox; only secrets and variables can be granted today"
	return failure
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

// detailsJSON returns the details as JSON. A failure must not be lost to a mistake in its details: what cannot become JSON
// is told as text.
func (f *Failure) detailsJSON() (string, bool) {
	if f.Details == nil {
		return "", false
	}
	if text, err := encode(f.Details); err == nil {
		return text, true
	}
	text, err := encode(strings.ToValidUTF8(fmt.Sprintf("%+v", f.Details), "\uFFFD"))
	return text, err == nil
}
