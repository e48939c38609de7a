package main

import (
	"fmt"
	"time"

	"retake"
)

// Order is one order of a customer.
type Order struct {
	ID    string `json:"id"`
	Cents uint64 `json:"cents"`
	// Filled in by enrich.
	Country *string `json:"country"`
}

// Receipt is what was loaded.
type Receipt struct {
	Customer string `json:"customer"`
	Orders   int    `json:"orders"`
	Cents    uint64 `json:"cents"`
	// Which attempt of load did it.
	LoadAttempt uint32 `json:"load_attempt"`
}

type extractInput struct {
	Customer string `json:"customer"`
	PauseMS  uint64 `json:"pause_ms"`
}

type enrichInput struct {
	Orders  []Order `json:"orders"`
	Fails   uint32  `json:"fails"`
	PauseMS uint64  `json:"pause_ms"`
}

type loadInput struct {
	Customer string  `json:"customer"`
	Orders   []Order `json:"orders"`
	Outcome  string  `json:"outcome" enum:"ok,fail,fail-once"`
	PauseMS  uint64  `json:"pause_ms"`
}

type ordersInput struct {
	Customer    string `json:"customer" default:"acme"`
	EnrichFails uint32 `json:"enrich_fails" default:"0" desc:"How many attempts of enrich fail before one succeeds; above 2 all of them do."`
	Load        string `json:"load" default:"ok" enum:"ok,fail,fail-once"`
	PauseMS     uint64 `json:"pause_ms" default:"0" desc:"How long each task takes."`
}

// pause gives time to watch it, or to pull the plug.
func pause(milliseconds uint64) { retake.Sleep(time.Duration(milliseconds) * time.Millisecond) }

var extract = retake.Task("extract", func(in extractInput) ([]Order, error) {
	fmt.Printf("extract: attempt %d\n", retake.Context().Attempt)
	pause(in.PauseMS)
	orders := []Order{}
	for number := uint64(1); number <= 3; number++ {
		orders = append(orders, Order{ID: fmt.Sprintf("%s-%d", in.Customer, number), Cents: number * 1250})
	}
	return orders, nil
}, retake.LogPrints(), retake.Describe("Reads the customer's orders."))

// Its two retries are used up within this task run: the flow does not notice them.
var enrich = retake.Task("enrich", func(in enrichInput) ([]Order, error) {
	attempt := retake.Context().Attempt
	fmt.Printf("enrich: attempt %d\n", attempt)
	pause(in.PauseMS)
	if attempt <= in.Fails {
		return nil, retake.Fail("http.503", "the service is away, attempt %d", attempt)
	}
	country := "NL"
	for n := range in.Orders {
		in.Orders[n].Country = &country
	}
	return in.Orders, nil
}, retake.Retries(2), retake.Delay(time.Second), retake.LogPrints(),
	retake.Describe("Looks up what the orders lack, at a service that is sometimes away."))

// Without retries: a failure here fails the flow.
var load = retake.Task("load", func(in loadInput) (Receipt, error) {
	// Counted over the whole life of the task run, so that it goes on after a manual retry.
	attempt := retake.Context().Attempt
	fmt.Printf("load: attempt %d\n", attempt)
	pause(in.PauseMS)
	if in.Outcome == "fail" || in.Outcome == "fail-once" && attempt == 1 {
		return Receipt{}, retake.Fail("load.refused", "the warehouse refused the orders")
	}
	receipt := Receipt{Customer: in.Customer, Orders: len(in.Orders), LoadAttempt: attempt}
	for _, order := range in.Orders {
		receipt.Cents += order.Cents
	}
	return receipt, nil
}, retake.LogPrints(), retake.Describe("Writes the orders to where they belong."))

// When load fails the run fails; after a retry the body runs from its beginning, but extract and enrich have succeeded, so
// their results are fed back from the store and only load is run.
var _ = retake.Flow("orders", func(in ordersInput) (Receipt, error) {
	fmt.Printf("orders of %s: attempt %d\n", in.Customer, retake.Context().Attempt)
	found, err := extract.Call(extractInput{in.Customer, in.PauseMS})
	if err != nil {
		return Receipt{}, err
	}
	enriched, err := enrich.Call(enrichInput{found, in.EnrichFails, in.PauseMS})
	if err != nil {
		return Receipt{}, err
	}
	return load.Call(loadInput{in.Customer, enriched, in.Load, in.PauseMS})
}, retake.LogPrints(), retake.Describe("Takes a customer's orders from where they are to where they belong."))
