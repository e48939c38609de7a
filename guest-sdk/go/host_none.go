//go:build !wasip1

package retake

import "time"

const noHost = "retake: this needs a host, and outside of a component there is none; `Inline` runs a body without"

type call struct{}

func submit(*declared, string, asked) *call { panic(noHost) }
func (c *call) outcome() (string, error)    { panic(noHost) }
func (c *call) done() bool                  { panic(noHost) }
func (c *call) cancel()                     { panic(noHost) }
func waitAny([]*call) int                   { panic(noHost) }
func write(uint8, string, []any)            {}

const debugLevel, infoLevel, warnLevel, errorLevel = 0, 1, 2, 3

// Context returns who is running: outside of a component, the first attempt of nobody.
func Context() Run {
	return Run{FlowRunID: "local", Flow: "local", Attempt: 1, IdempotencyKey: "local", ScheduledFor: time.Now()}
}

// Sleep waits.
func Sleep(wait time.Duration) { time.Sleep(wait) }

// SleepUntil waits until that instant.
func SleepUntil(instant time.Time) { time.Sleep(time.Until(instant)) }

// Secret needs a host.
func Secret(string) (string, error) { panic(noHost) }

// Variable needs a host.
func Variable(string, any) error { panic(noHost) }
