package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"retake"
)

// Luck is what both flows take that fail at random.
type Luck struct {
	FailTimes *uint32 `json:"fail_times" desc:"Fails this many attempts and then succeeds. Left out, every attempt is a matter of luck."`
}

// Report is what they return when they succeed.
type Report struct {
	Attempt uint32 `json:"attempt"`
	Starts  uint32 `json:"starts"`
}

// Counts how often a flow was entered in this sandbox. Each attempt gets a fresh one, so nobody ever sees another number
// than 1.
var starts uint32

// A flow that fails, and is retried on its own: five more attempts, five minutes apart. When they are used up the run has
// failed, and a person may still retry it.
var _ = retake.Flow("retry-it", tryLuck, retake.Retries(5), retake.Delay(5*time.Minute), retake.LogPrints(),
	retake.Describe("Says hello and fails, unless it is lucky."))

// A flow that fails, and is retried by a person: without Retries the first failure ends the run.
var _ = retake.Flow("Manual retry", tryLuck, retake.LogPrints(),
	retake.Describe("Says hello and fails, unless it is lucky."))

func tryLuck(luck Luck) (Report, error) {
	starts++
	attempt := retake.Context().Attempt
	fmt.Printf("Hi from Retake! attempt %d, start %d of this sandbox\n", attempt, starts)
	// The host rolls the dice anew for each attempt.
	fails := rand.IntN(2) == 0
	if luck.FailTimes != nil {
		fails = attempt <= *luck.FailTimes
	}
	if fails {
		return Report{}, retake.Fail("luck.bad", "attempt %d failed", attempt)
	}
	return Report{attempt, starts}, nil
}
