// Package export_retake_flow_plugin is what the generated exports call: the SDK puts itself here.
package export_retake_flow_plugin

import (
	"retake/internal/bindings/retake_flow_types"
	witTypes "retake/internal/wit/types"
)

// Result is what a flow or a task comes to.
type Result = witTypes.Result[string, retake_flow_types.Failure]

// What the SDK answers with.
var (
	Describe func() retake_flow_types.ComponentInfo
	RunFlow  func(flow string, parameters string) Result
	RunTask  func(task string, input string) Result
)
