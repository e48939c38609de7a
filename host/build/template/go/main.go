// A flow with two tasks: `retake run . -p name=Ann` builds it and runs it.
package main

import (
	"fmt"
	"time"

	"retake"
)

// A component has no main: the host calls what is declared.
func main() {}

// Receipt is what the flow returns.
type Receipt struct {
	Greeting string `json:"greeting"`
	// Which attempt it was that succeeded.
	Attempt uint32 `json:"attempt"`
}

// Whom is what compose takes: each task and each flow takes one struct, whose fields are its parameters.
type Whom struct {
	Name string `json:"name"`
}

// Letter is what send takes.
type Letter struct {
	Greeting string `json:"greeting"`
	Fails    uint32 `json:"fails"`
}

// A task runs in a sandbox of its own, and its result is kept. When the flow is retried, by its policy or by you, a task
// that has succeeded is not run again: its result is fed back.
var compose = retake.Task("compose", func(to Whom) (string, error) {
	// With LogPrints, this is in `retake logs RUN`.
	fmt.Println("writing to", to.Name)
	return "Hello, " + to.Name + "!", nil
}, retake.LogPrints(), retake.Describe("Writes the greeting."))

// The outside world is flaky, so up to two more attempts are made, the first after 1 s and the next after 2 s.
var send = retake.Task("send", func(it Letter) (Receipt, error) {
	// Counted from 1 over the whole life of the run, also when you retry it.
	attempt := retake.Context().Attempt
	if attempt <= it.Fails {
		// The first text is a code: rules of a policy, filters and notifications go by it. Of any other error it is the
		// name of its type.
		return Receipt{}, retake.Fail("mail.busy", "the mail server is busy, attempt %d", attempt)
	}
	fmt.Println("sent:", it.Greeting)
	return Receipt{it.Greeting, attempt}, nil
}, retake.Retries(2), retake.Delay(1*time.Second, 2*time.Second), retake.LogPrints(), retake.Describe("Sends it."))

// Parameters of the flow; `desc` describes them for people, and `default` is for what may be left out.
type Parameters struct {
	Name  string `json:"name" desc:"Whom to greet."`
	Fails uint32 `json:"fails" default:"1" desc:"How many attempts to send fail. With 6 all attempts are used up."`
}

// When the body fails it is run again from its beginning, once, after 5 s: compose is answered with its kept result, send
// is tried again.
var greet = retake.Flow("@name@", func(given Parameters) (Receipt, error) {
	greeting, err := compose.Call(Whom{given.Name})
	if err != nil {
		return Receipt{}, err
	}
	return send.Call(Letter{greeting, given.Fails})
}, retake.Retries(1), retake.Delay(5*time.Second), retake.LogPrints(), retake.Describe("Greets somebody."))
