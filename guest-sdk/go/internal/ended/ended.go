//go:build wasip1

// Package ended says on stderr with which status a program ends itself: what the host hears of it is only that it was not 0.
package ended

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	_ "unsafe" // For the name of a function of the runtime.
)

// As it is in the runtime.
type hook struct {
	run          func()
	runOnFailure bool
}

//go:linkname add internal/runtime/exithook.Add
func add(hook)

func init() { add(hook{run: tell, runOnFailure: true}) }

// tell finds the status where the runtime leaves it: among what functions were called with, as a stack is shown.
func tell() {
	stack := make([]byte, 16<<10)
	stack = stack[:runtime.Stack(stack, false)]
	_, rest, _ := strings.Cut(string(stack), "os.Exit(0x")
	end := strings.IndexFunc(rest, func(c rune) bool { return !strings.ContainsRune("0123456789abcdef", c) })
	if end < 0 {
		return
	}
	if status, err := strconv.ParseUint(rest[:end], 16, 64); err == nil {
		_, _ = os.Stderr.WriteString("the program ended itself with status " + strconv.Itoa(int(int32(status))) + "\n")
	}
}
