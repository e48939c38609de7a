package main

import (
	"fmt"
	"os"
	"time"

	"retake"
)

// What every language does alike, as a test of the host looks at it.

type number struct {
	N int `json:"n"`
}

type nothing struct{}

var double = retake.Task("double", func(in number) (int, error) { return 2 * in.N, nil })

var nap = retake.Task("nap", func(in struct {
	MS int `json:"ms"`
}) (int, error) {
	retake.Sleep(time.Duration(in.MS) * time.Millisecond)
	return in.MS, nil
})

var permanent = retake.Task("permanent", func(nothing) (any, error) {
	return nil, retake.Permanent("demo.final", "it stays so")
}, retake.Retries(3))

var later = retake.Task("later", func(nothing) (uint32, error) {
	attempt := retake.Context().Attempt
	if attempt == 1 {
		return 0, &retake.Failure{Code: "demo.later", After: 50 * time.Millisecond}
	}
	return attempt, nil
}, retake.Retries(1), retake.Delay(time.Hour))

var shaky = retake.Task("shaky", func(in number) (int, error) {
	if retake.Context().Attempt == 1 {
		return 0, retake.Fail("demo.shaky", "the first attempt fails")
	}
	return in.N, nil
})

var counted int

var count = retake.Task("count", func(nothing) (int, error) {
	counted++
	if retake.Context().Attempt < 3 {
		return 0, retake.Fail("demo.again", "not yet")
	}
	return counted, nil
}, retake.Retries(2))

func none(nothing) (any, error) { return nil, nil }

var (
	_ = retake.Task("delay-fixed", none, retake.Retries(3), retake.Delay(5*time.Minute))
	_ = retake.Task("delay-listed", none, retake.Retries(4), retake.Delay(time.Second, 10*time.Second, time.Minute))
	_ = retake.Task("delay-exponential", none, retake.Retries(5), retake.Backoff(10*time.Second, 2))
)

var child = retake.Flow("behave-child", func(in number) (int, error) { return in.N + 1, nil })

var _ = retake.Flow("behave", func(in struct {
	What string `json:"what"`
}) (any, error) {
	switch in.What {
	case "success":
		return map[string]bool{"ok": true}, nil
	case "failure":
		return nil, retake.Fail("demo.broken", "it is broken")
	case "uncaught":
		panic("oops")
	case "permanent":
		return permanent.Call(nothing{})
	case "retry-after":
		return later.Call(nothing{})
	case "map":
		return double.Map([]number{{1}, {2}, {3}, {4}})
	case "wait-any":
		type ms = struct {
			MS int `json:"ms"`
		}
		return retake.WaitAny(nap.Submit(ms{400}), nap.Submit(ms{0})), nil
	case "child":
		return child.Call(number{20})
	case "kept":
		doubled, err := double.Call(number{21})
		if err != nil {
			return nil, err
		}
		return shaky.Call(number{doubled})
	case "print":
		fmt.Println("one line")
		fmt.Fprintln(os.Stderr, "another")
		return nil, nil
	case "fresh":
		return count.Call(nothing{})
	}
	return nil, retake.Permanent("demo.unknown", "there is no behaviour %q", in.What)
}, retake.LogPrints())
