package retake

import "time"

// asked is what a call has of its own.
type asked struct {
	key, label *string
	policy     *Policy
}

// WithKey returns the same, called under a key that stands for its input: a kept result is fed back although the input
// has changed. At most 512 bytes.
func (fn *Fn[In, Out]) WithKey(key string) *Fn[In, Out] {
	other := *fn
	other.asked.key = &key
	return &other
}

// Named returns the same, shown to people under another name. At most 128 bytes.
func (fn *Fn[In, Out]) Named(name string) *Fn[In, Out] {
	other := *fn
	other.asked.label = &name
	return &other
}

// WithRetry returns the same, called with another policy.
func (fn *Fn[In, Out]) WithRetry(policy Policy) *Fn[In, Out] {
	other := *fn
	other.asked.policy = &policy
	return &other
}

// Call runs it and waits for what it comes to. A failure is a *Failure.
func (fn *Fn[In, Out]) Call(in In) (Out, error) { return fn.Submit(in).Outcome() }

// Submit asks for it and returns at once; it runs beside the flow.
func (fn *Fn[In, Out]) Submit(in In) *Pending[Out] {
	input, err := encode(in)
	if err != nil {
		return &Pending[Out]{about: fn.about, refused: Permanent("input.invalid", "%s `%s`: its input %v", fn.about.kind(), fn.about.name, err)}
	}
	return &Pending[Out]{about: fn.about, call: submit(fn.about, input, fn.asked)}
}

// Map asks for it once for each input before it waits for any, and returns the results in the order of the inputs; or the
// first failure in that order.
func (fn *Fn[In, Out]) Map(inputs []In) ([]Out, error) {
	calls := make([]*Pending[Out], len(inputs))
	for n, in := range inputs {
		calls[n] = fn.Submit(in)
	}
	outcomes := make([]Out, len(inputs))
	for n, call := range calls {
		var err error
		if outcomes[n], err = call.Outcome(); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// Pending is a task or a child flow that was asked for. Dropping it does not cancel it: when the flow returns, the host
// waits for what still runs.
type Pending[Out any] struct {
	about   *declared
	call    *call
	refused error
}

// Outcome waits until it has succeeded, or has failed for good. The answer is the same however often it is asked for.
func (p *Pending[Out]) Outcome() (Out, error) {
	var out Out
	if p.refused != nil {
		return out, p.refused
	}
	text, err := p.call.outcome()
	if err != nil {
		return out, err
	}
	// Of a kept result, what this code does not know any more is left out.
	if err := read([]byte(text), &out, false); err != nil {
		return out, Permanent("result.invalid", "%s `%s`: its result is not what this code expects: %v", p.about.kind(), p.about.name, err)
	}
	return out, nil
}

// Done tells whether the outcome is there. The one answer that may differ when an attempt goes on; see WaitAny.
func (p *Pending[Out]) Done() bool { return p.refused != nil || p.call.done() }

// Cancel stops it; its outcome is then the failure `host.cancelled`.
func (p *Pending[Out]) Cancel() {
	if p.refused == nil {
		p.call.cancel()
	}
}

func (p *Pending[Out]) pending() *call { return p.call }

// Waitable is a Pending of whatever type.
type Waitable interface{ pending() *call }

// WaitAny waits until one of them is done and returns its place; of several, that of the one done first. An attempt that
// goes on is told the same again.
func WaitAny[P Waitable](calls ...P) int {
	all := make([]*call, len(calls))
	for n, it := range calls {
		if all[n] = it.pending(); all[n] == nil {
			return n // Refused before it was asked for, so it is done.
		}
	}
	if len(all) == 0 {
		panic("retake: `WaitAny` needs at least one call: it would wait for ever")
	}
	return waitAny(all)
}

// Run says who is running, and which try it is.
type Run struct {
	// FlowRunID is `run_…`; Deployment, Task and TaskRunID are empty where there is none.
	FlowRunID, Flow, Deployment, Task, TaskRunID string
	// Attempt is counted from 1 over the whole life of the run; RetriesLeft are what the policy still allows.
	Attempt, RetriesLeft uint32
	// IdempotencyKey is the same for every attempt of this task run: send it outward, so that a repeated call is recognised.
	IdempotencyKey string
	// ScheduledFor is when the run was meant to start.
	ScheduledFor time.Time
}
