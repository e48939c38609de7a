// Package retake writes flows and tasks for Retake in Go.
//
// A flow is a function that calls tasks; a task is a function that may fail, and is tried again when it does. Both are
// ordinary functions, declared once:
//
//	type Page struct {
//		URL string `json:"url" desc:"What to fetch."`
//	}
//
//	var fetch = retake.Task("fetch", func(page Page) (string, error) {
//		return "the page at " + page.URL, nil
//	}, retake.Retries(5), retake.Delay(time.Second))
//
//	var count = retake.Flow("count", func(in struct {
//		Pages []Page `json:"pages"`
//	}) (int, error) {
//		pages, err := fetch.Map(in.Pages) // Side by side, each in a sandbox of its own.
//		return len(pages), err
//	}, retake.Retries(2), retake.Delay(5*time.Minute), retake.LogPrints())
//
//	func main() {}
//
// A component is a `package main` with an empty main: `retake build` makes it. The host calls flows and tasks; within a
// flow, Call, Submit and Map ask the host to run a task or another flow: in a fresh sandbox, with retries of its own, its
// result kept. What succeeded in an earlier attempt is fed back and not run again.
//
// A task or a flow takes one struct, whose fields are its parameters: their JSON names, `desc:"…"` for people,
// `default:"…"` (JSON, or text for a string) for what may be left out, `enum:"a,b"` for a string of few. A pointer, and a
// field with `omitempty`, may be left out too. A schema is made of it, which the host checks before a sandbox is made.
//
// Outside of WebAssembly there is no host: bodies are called by Inline, and whatever needs a host panics.
package retake
