package retake

import (
	"fmt"
	"reflect"
)

// Fn is a flow or a task that takes an In and returns an Out.
type Fn[In, Out any] struct {
	about *declared
	body  func(In) (Out, error)
	asked asked
}

// declared is what is known of a flow or a task before it runs.
type declared struct {
	name    string
	isFlow  bool
	options options
	input   map[string]any
	returns map[string]any
	run     func(input string) (string, error)
}

func (d *declared) kind() string {
	if d.isFlow {
		return "flow"
	}
	return "task"
}

// The name is set by `retake build`.
var componentName, componentVersion, componentDescription = "component", "0", ""

// In the order of their declaration.
var flows, tasks []*declared

// Flow declares a flow: a function that calls tasks. Its name is for people, and may be any text of 1 to 128 characters
// without `/`.
func Flow[In, Out any](name string, body func(In) (Out, error), how ...Option) *Fn[In, Out] {
	fn := declare(name, true, body, how)
	flows = known("flow", flows, fn.about)
	return fn
}

// Task declares a task: a function that is tried again by itself, in a sandbox of its own, and whose result is kept.
func Task[In, Out any](name string, body func(In) (Out, error), how ...Option) *Fn[In, Out] {
	fn := declare(name, false, body, how)
	tasks = known("task", tasks, fn.about)
	return fn
}

func declare[In, Out any](name string, isFlow bool, body func(In) (Out, error), how []Option) *Fn[In, Out] {
	about := &declared{name: name, isFlow: isFlow}
	for _, option := range how {
		option(&about.options)
	}
	in := reflect.TypeFor[In]()
	if in.Kind() != reflect.Struct {
		panic(fmt.Sprintf("retake: `%s` takes %s; let it take a struct, whose fields are its parameters", name, in))
	}
	about.input = schemaOf(about.kind()+" `"+name+"`: its input", in)
	about.returns = schemaOf(about.kind()+" `"+name+"`: its result", reflect.TypeFor[Out]())
	about.run = func(input string) (string, error) {
		var given In
		if err := decode(input, &given); err != nil {
			return "", Permanent("input.invalid", "%s `%s`: its input cannot be read: %v", about.kind(), name, err)
		}
		out, err := body(given)
		if err != nil {
			return "", err
		}
		text, err := encode(out)
		if err != nil {
			return "", Permanent("result.invalid", "%s `%s`: its result %v", about.kind(), name, err)
		}
		return text, nil
	}
	return &Fn[In, Out]{about: about, body: body}
}

func known(kind string, all []*declared, it *declared) []*declared {
	for _, other := range all {
		if other.name == it.name {
			panic(fmt.Sprintf("retake: two %ss are called `%s`", kind, it.name))
		}
	}
	return append(all, it)
}

// About says which version the component has, and what it is. Its name is that of its module.
func About(version, description string) {
	componentVersion, componentDescription = version, description
}

// Inline runs the body right here: without the host, a sandbox or retries. For tests.
func (fn *Fn[In, Out]) Inline(in In) (Out, error) { return fn.body(in) }
