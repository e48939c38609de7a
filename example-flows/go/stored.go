package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"

	"retake"
)

// What is stored, and how failures are told, as a test of the host looks at it: the same in every language.

type items[T any] struct {
	Items T `json:"items"`
}

var retried = retake.Retries(2)

var notANumber = retake.Task("nan", func(nothing) (float64, error) { return math.NaN(), nil }, retried)

var nanInside = retake.Task("nan-inside", func(nothing) (map[string][]float64, error) {
	return map[string][]float64{"rows": {1.5, math.NaN()}}, nil
}, retried)

var infinite = retake.Task("infinite", func(nothing) (float64, error) { return math.Inf(1), nil }, retried)

var half = retake.Task("half", func(in struct {
	X float64 `json:"x"`
}) (float64, error) {
	return in.X / 2, nil
}, retried)

var unstorable = retake.Task("unstorable", func(nothing) (any, error) {
	return map[string]any{"channel": make(chan int)}, nil
}, retried)

type ring struct {
	Next *ring `json:"next"`
}

var cycle = retake.Task("cycle", func(nothing) (*ring, error) {
	it := &ring{}
	it.Next = it
	return it, nil
}, retried)

type anyNumber struct {
	N any `json:"n"`
}

var same = retake.Task("same", func(in anyNumber) (any, error) { return in.N, nil })

var noItems = retake.Task("none", func(nothing) ([]int, error) { return nil, nil })

var noEntries = retake.Task("none-mapped", func(nothing) (map[string]int, error) { return nil, nil })

var countItems = retake.Task("count_items", func(in items[[]int]) (int, error) { return len(in.Items), nil })

var countEntries = retake.Task("count_entries", func(in items[map[string]int]) (int, error) { return len(in.Items), nil })

var storeChild = retake.Flow("store-child", func(in items[any]) (int, error) {
	switch it := in.Items.(type) {
	case []any:
		return len(it), nil
	case map[string]any:
		return len(it), nil
	}
	return -1, nil
})

var halfEmoji = retake.Task("half-emoji", func(nothing) (string, error) { return "\xf0\x9f", nil }, retried)

var exit = retake.Task("exit", func(nothing) (any, error) {
	os.Exit(3)
	return nil, nil
})

var reason = retake.Task("reason", func(nothing) (int, error) {
	list, place := []int{1, 2, 3}, 5
	return list[place], nil
})

var network = retake.Task("network", func(nothing) (int, error) {
	answer, err := http.Get("http://example.com/")
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, nil
}, retried)

var outer = retake.Task("outer", func(nothing) (any, error) { return same.Call(anyNumber{1}) }, retried)

type depth struct {
	Depth int `json:"depth" default:"3"`
}

var defaults = retake.Task("defaults", func(in struct {
	Limit   int    `json:"limit,omitempty" default:"10"`
	Options *depth `json:"options,omitempty" default:"{}"`
}) ([]int, error) {
	return []int{in.Limit, in.Options.Depth}, nil
})

var _ = retake.Flow("store", func(in struct {
	What string               `json:"what"`
	Day  retake.Maybe[string] `json:"day,omitzero"`
}) (any, error) {
	switch in.What {
	case "nan":
		return notANumber.Call(nothing{})
	case "nan-inside":
		return nanInside.Call(nothing{})
	case "infinite":
		return infinite.Call(nothing{})
	case "nan-given":
		return half.Call(struct {
			X float64 `json:"x"`
		}{math.NaN()})
	case "unstorable":
		return unstorable.Call(nothing{})
	case "cycle":
		return cycle.Call(nothing{})
	case "big":
		return same.Call(anyNumber{json.Number("9007199254740993")})
	case "huge":
		return same.Call(anyNumber{json.Number("123456789012345678901234567890")})
	case "empty-list":
		return emptyList()
	case "empty-map":
		return emptyMap()
	case "half-emoji":
		return halfEmoji.Call(nothing{})
	case "half-emoji-said":
		fmt.Println("printed \xf0\x9f")
		retake.Info("logged \xf0\x9f")
		return nil, retake.Fail("demo.said", "said \xf0\x9f")
	case "exit":
		return exit.Call(nothing{})
	case "reason":
		return reason.Call(nothing{})
	case "network":
		return network.Call(nothing{})
	case "last-print":
		fmt.Print("no end of line")
		return nil, nil
	case "task-in-task":
		return outer.Call(nothing{})
	case "default":
		return defaults.Call(struct {
			Limit   int    `json:"limit,omitempty" default:"10"`
			Options *depth `json:"options,omitempty" default:"{}"`
		}{})
	case "null-or-unset":
		return whichDay(in.Day), nil
	}
	return nil, retake.Permanent("demo.unknown", "there is no case %q", in.What)
}, retake.LogPrints())

func emptyList() (any, error) {
	list, err := noItems.Call(nothing{})
	if err != nil {
		return nil, err
	}
	count, err := countItems.Call(items[[]int]{list})
	if err != nil {
		return nil, err
	}
	child, err := storeChild.Call(items[any]{list})
	return []int{count, child}, err
}

func emptyMap() (any, error) {
	entries, err := noEntries.Call(nothing{})
	if err != nil {
		return nil, err
	}
	count, err := countEntries.Call(items[map[string]int]{entries})
	if err != nil {
		return nil, err
	}
	child, err := storeChild.Call(items[any]{entries})
	return []int{count, child}, err
}

func whichDay(day retake.Maybe[string]) string {
	switch {
	case !day.Given:
		return "unset"
	case day.Value == nil:
		return "null"
	}
	return *day.Value
}
