//go:build wasip1

package retake

import (
	"encoding/json"
	"strings"
	"time"

	"retake/internal/bindings/export_retake_flow_plugin"
	"retake/internal/bindings/retake_flow_context"
	"retake/internal/bindings/retake_flow_log"
	"retake/internal/bindings/retake_flow_tasks"
	"retake/internal/bindings/retake_flow_timers"
	"retake/internal/bindings/retake_flow_types"
	"retake/internal/bindings/retake_flow_values"
	_ "retake/internal/bindings/wit_exports"
	_ "retake/internal/ended"
	witTypes "retake/internal/wit/types"
)

func init() {
	export_retake_flow_plugin.Describe = describe
	export_retake_flow_plugin.RunFlow = func(name, input string) export_retake_flow_plugin.Result {
		return run(flows, name, input)
	}
	export_retake_flow_plugin.RunTask = func(name, input string) export_retake_flow_plugin.Result {
		return run(tasks, name, input)
	}
}

func run(all []*declared, name, input string) export_retake_flow_plugin.Result {
	for _, it := range all {
		if it.name != name {
			continue
		}
		text, err := it.run(input)
		if err != nil {
			return witTypes.Err[string](failureOf(err).wire())
		}
		return witTypes.Ok[string, retake_flow_types.Failure](text)
	}
	return witTypes.Err[string](Permanent("unknown-name", "this component has no `%s`", name).wire())
}

func (f *Failure) wire() retake_flow_types.Failure {
	advice := retake_flow_types.MakeRetryAdviceByPolicy()
	switch {
	case f.Final:
		advice = retake_flow_types.MakeRetryAdviceNever()
	case f.After > 0:
		advice = retake_flow_types.MakeRetryAdviceAfter(milliseconds(f.After))
	}
	details := witTypes.None[string]()
	if text, ok := f.detailsJSON(); ok {
		details = witTypes.Some(text)
	}
	code, message := strings.ToValidUTF8(f.Code, "\uFFFD"), strings.ToValidUTF8(f.Message, "\uFFFD")
	return retake_flow_types.Failure{Code: code, Message: message, Retry: advice, Details: details}
}

func unwire(f retake_flow_types.Failure) *Failure {
	failure := &Failure{Code: f.Code, Message: f.Message}
	switch f.Retry.Tag() {
	case retake_flow_types.RetryAdviceNever:
		failure.Final = true
	case retake_flow_types.RetryAdviceAfter:
		failure.After = time.Duration(f.Retry.After()) * time.Millisecond
	}
	if f.Details.IsSome() {
		// What the host hands over is JSON.
		_ = read([]byte(f.Details.Some()), &failure.Details, false)
	}
	return failure
}

func describe() retake_flow_types.ComponentInfo {
	info := retake_flow_types.ComponentInfo{
		Name: componentName, Version: componentVersion, Description: componentDescription,
		Flows: []retake_flow_types.FlowInfo{}, Tasks: []retake_flow_types.TaskInfo{},
	}
	for _, it := range flows {
		info.Flows = append(info.Flows, retake_flow_types.FlowInfo{
			Name: it.name, Description: it.options.description, Parameters: text(it.input),
			Returns: witTypes.Some(text(it.returns)), Retry: it.options.policy.wire(), Limits: it.options.limits(),
			Capabilities: it.options.capabilities(), LogPrints: it.options.logPrints, PersistResult: it.options.persist(),
			Extensions: witTypes.None[string](),
		})
	}
	for _, it := range tasks {
		version := it.options.version
		if version == "" {
			version = "1"
		}
		info.Tasks = append(info.Tasks, retake_flow_types.TaskInfo{
			Name: it.name, Description: it.options.description, Version: version, Input: text(it.input),
			Returns: witTypes.Some(text(it.returns)), Retry: it.options.policy.wire(), Limits: it.options.limits(),
			Capabilities: it.options.capabilities(), LogPrints: it.options.logPrints, PersistResult: it.options.persist(),
			Tags: append([]string{}, it.options.tags...), Extensions: witTypes.None[string](),
		})
	}
	return info
}

func text(schema map[string]any) string {
	text, err := json.Marshal(schema)
	if err != nil {
		panic(err) // It was made of texts and numbers.
	}
	return string(text)
}

func (o *options) persist() witTypes.Option[bool] {
	if o.dropResult {
		return witTypes.Some(false)
	}
	return witTypes.None[bool]()
}

func (o *options) limits() retake_flow_types.Limits {
	limits := retake_flow_types.Limits{
		MemoryBytes: witTypes.None[uint64](), CpuTime: witTypes.None[uint64](), Timeout: witTypes.None[uint64](),
	}
	if o.memory > 0 {
		limits.MemoryBytes = witTypes.Some(o.memory)
	}
	if o.cpu > 0 {
		limits.CpuTime = witTypes.Some(milliseconds(o.cpu))
	}
	if o.timeout > 0 {
		limits.Timeout = witTypes.Some(milliseconds(o.timeout))
	}
	return limits
}

func (o *options) capabilities() []retake_flow_types.Capability {
	all := []retake_flow_types.Capability{}
	for _, name := range o.secrets {
		all = append(all, retake_flow_types.MakeCapabilitySecret(name))
	}
	for _, name := range o.variables {
		all = append(all, retake_flow_types.MakeCapabilityVariable(name))
	}
	return all
}

func (p *Policy) wire() retake_flow_types.RetryPolicy {
	waits := make([]uint64, len(p.Delays))
	for n, wait := range p.Delays {
		waits[n] = milliseconds(wait)
	}
	delay := retake_flow_types.MakeDelayFixed(0)
	switch {
	case p.Factor > 0 && len(waits) > 0:
		factor := uint32(p.Factor*1000 + 0.5)
		delay = retake_flow_types.MakeDelayExponential(retake_flow_types.Exponential{Initial: waits[0], FactorPermille: factor})
	case len(waits) == 1:
		delay = retake_flow_types.MakeDelayFixed(waits[0])
	case len(waits) > 1:
		delay = retake_flow_types.MakeDelayListed(waits)
	}
	policy := retake_flow_types.RetryPolicy{
		Retries: p.Retries, Delay: delay, DelayMax: witTypes.None[uint64](), Jitter: uint16(min(p.Jitter*1000+0.5, 65535)),
		GiveUpAfter: witTypes.None[uint64](), Rules: []retake_flow_types.Rule{}, WhenExhausted: retake_flow_types.WhenExhaustedFail,
	}
	if p.DelayMax > 0 {
		policy.DelayMax = witTypes.Some(milliseconds(p.DelayMax))
	}
	if p.GiveUpAfter > 0 {
		policy.GiveUpAfter = witTypes.Some(milliseconds(p.GiveUpAfter))
	}
	if len(p.FailOn) > 0 {
		policy.Rules = append(policy.Rules, retake_flow_types.Rule{Codes: p.FailOn, Action: retake_flow_types.MakeActionFail()})
	}
	if len(p.ParkOn) > 0 {
		policy.Rules = append(policy.Rules, retake_flow_types.Rule{Codes: p.ParkOn, Action: retake_flow_types.MakeActionPark()})
	}
	if p.Park {
		policy.WhenExhausted = retake_flow_types.WhenExhaustedPark
	}
	return policy
}

type call struct{ handle *retake_flow_tasks.Call }

func submit(about *declared, input string, asked asked) *call {
	options := retake_flow_tasks.Options{
		Key: witTypes.None[string](), Name: witTypes.None[string](), Retry: witTypes.None[retake_flow_types.RetryPolicy](),
	}
	if asked.key != nil {
		options.Key = witTypes.Some(*asked.key)
	}
	if asked.label != nil {
		options.Name = witTypes.Some(*asked.label)
	}
	if asked.policy != nil {
		options.Retry = witTypes.Some(asked.policy.wire())
	}
	if about.isFlow {
		return &call{retake_flow_tasks.SubmitFlow(about.name, input, options)}
	}
	return &call{retake_flow_tasks.Submit(about.name, input, options)}
}

func (c *call) outcome() (string, error) {
	result := c.handle.Outcome()
	if result.IsErr() {
		return "", unwire(result.Err())
	}
	return result.Ok(), nil
}

func (c *call) done() bool { return c.handle.IsDone() }

func (c *call) cancel() { c.handle.Cancel() }

func waitAny(calls []*call) int {
	handles := make([]*retake_flow_tasks.Call, len(calls))
	for n, it := range calls {
		handles[n] = it.handle
	}
	return int(retake_flow_tasks.WaitAny(handles))
}

// Context returns who is running, and which try it is.
func Context() Run {
	run := retake_flow_context.Current()
	return Run{
		FlowRunID: run.FlowRunId, Flow: run.Flow, Deployment: run.Deployment.SomeOr(""), Task: run.Task.SomeOr(""),
		TaskRunID: run.TaskRunId.SomeOr(""), Attempt: run.Attempt, RetriesLeft: run.RetriesLeft,
		IdempotencyKey: run.IdempotencyKey, ScheduledFor: time.UnixMilli(int64(run.ScheduledFor)),
	}
}

// Sleep waits. In a flow it is a durable wait: a long one holds no sandbox, and outlives the host's process. At most 365
// days.
func Sleep(wait time.Duration) { retake_flow_timers.Sleep(milliseconds(wait)) }

// SleepUntil waits until that instant; one that has passed is no wait.
func SleepUntil(instant time.Time) {
	retake_flow_timers.SleepUntil(uint64(max(0, instant.UnixMilli())))
}

// Secret returns a secret that the flow or the task asks for by Secrets, and that the deployment grants.
func Secret(name string) (string, error) {
	result := retake_flow_values.Secret(name)
	if result.IsErr() {
		return "", unwire(result.Err())
	}
	return result.Ok(), nil
}

// Variable reads a variable that the flow or the task asks for by Variables, and that the deployment grants.
func Variable(name string, into any) error {
	result := retake_flow_values.Variable(name)
	if result.IsErr() {
		return unwire(result.Err())
	}
	return read([]byte(result.Ok()), into, false)
}

func write(level uint8, message string, fields []any) {
	retake_flow_log.Write(level, strings.ToValidUTF8(message, "\uFFFD"), fieldsJSON(fields))
}

const (
	debugLevel = retake_flow_log.LevelDebug
	infoLevel  = retake_flow_log.LevelInfo
	warnLevel  = retake_flow_log.LevelWarn
	errorLevel = retake_flow_log.LevelError
)
