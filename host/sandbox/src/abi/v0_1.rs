//! Glue for `retake:flow@0.1`, and nothing else.

use std::time::{Duration, Instant};

use retake_core::component::{AskedLimits, Capability, ComponentInfo, FlowInfo, TaskInfo};
use retake_core::failure::{self, Failure, RetryAdvice, code};
use retake_core::grant::Grants;
use retake_core::limits;
use retake_core::port::{CallRequest, FlowHost};
use retake_core::retry::{Action, BadField, Delay, OwnRetries, RetryPolicy, Rule, WhenExhausted};
use retake_core::task::Level;
use retake_core::time::Timestamp;
use retake_core::value::Json;
use std::sync::Arc;
use wasmtime::component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker, Resource};
use wasmtime::{Engine, Store};

use self::retake::flow::{context, log, tasks, timers, types, values};
use crate::Made;
use crate::attempt::{Host, State};
use crate::trap::Stop;

mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated from the contract, which is documented")]
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "flow",
        imports: {
            "retake:flow/tasks.[method]call.outcome": async | trappable,
            "retake:flow/tasks.wait-any": async | trappable,
            "retake:flow/timers.sleep": async | trappable,
            "retake:flow/timers.sleep-until": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: { "retake:flow/tasks.call": super::Call },
    });
}
use bindings::retake;

use types::Failure as GuestFailure;

/// A guest's handle of a call.
#[allow(unreachable_pub, reason = "the generated code exports it again, and is not reachable itself")]
pub enum Call {
    /// The number that the engine gave it.
    Made(u32),
    /// It was made in a task, where none may be.
    InATask(Failure),
}

/// Returns a linker with everything that a component may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    crate::wasi::add_to_linker(&mut linker)?;
    bindings::Flow::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// The exports of a component that is made for this version.
pub(super) struct Plugin {
    describe: ComponentExportIndex,
    run_flow: ComponentExportIndex,
    run_task: ComponentExportIndex,
}

type Returned = (Result<String, GuestFailure>,);

impl Plugin {
    /// Looks up the exports; `None` for a component without them.
    pub(super) fn of(component: &Component) -> wasmtime::Result<Option<Self>> {
        let Some(plugin) = component.get_export_index(None, super::PLUGIN) else { return Ok(None) };
        let missing = |name| wasmtime::Error::msg(format!("`{}` has no `{name}`", super::PLUGIN));
        let export = |name| component.get_export_index(Some(&plugin), name).ok_or_else(|| missing(name));
        let (describe, run_flow, run_task) = (export("describe")?, export("run-flow")?, export("run-task")?);
        Ok(Some(Self { describe, run_flow, run_task }))
    }

    pub(super) async fn run_flow(
        &self,
        pre: &InstancePre<State>,
        made: &Made,
        store: &mut Store<State>,
        flow: &str,
        parameters: &str,
    ) -> wasmtime::Result<Result<String, Failure>> {
        call(pre, made, store, &self.run_flow, flow, parameters).await
    }

    pub(super) async fn run_task(
        &self,
        pre: &InstancePre<State>,
        made: &Made,
        store: &mut Store<State>,
        task: &str,
        input: &str,
    ) -> wasmtime::Result<Result<String, Failure>> {
        call(pre, made, store, &self.run_task, task, input).await
    }

    pub(super) async fn describe(
        &self,
        pre: &InstancePre<State>,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Result<ComponentInfo, BadField>> {
        let instance = pre.instantiate_async(&mut *store).await?;
        let function = instance.get_typed_func::<(), (types::ComponentInfo,)>(&mut *store, &self.describe)?;
        Ok(component_info(function.call_async(&mut *store, ()).await?.0))
    }
}

async fn call(
    pre: &InstancePre<State>,
    made: &Made,
    store: &mut Store<State>,
    function: &ComponentExportIndex,
    name: &str,
    input: &str,
) -> wasmtime::Result<Result<String, Failure>> {
    let began = Instant::now();
    let instance = pre.instantiate_async(&mut *store).await?;
    made.one(began);
    let function = instance.get_typed_func::<(&str, &str), Returned>(&mut *store, function)?;
    let returned = function.call_async(&mut *store, (name, input)).await?.0;
    Ok(returned.map_err(|it| it.into_core(&store.data().handed)))
}

impl GuestFailure {
    /// Takes a guest's failure. Codes that belong to the host pass only when the host handed them to this guest.
    fn into_core(self, handed: &[String]) -> Failure {
        let passed_on = handed.contains(&self.code).then(|| self.code.clone());
        // What the host handed over is said again as it was.
        let code = passed_on.as_ref().map_or(self.code, |_| "handed".to_owned());
        let retry = match self.retry {
            types::RetryAdvice::ByPolicy => RetryAdvice::ByPolicy,
            types::RetryAdvice::Never => RetryAdvice::Never,
            types::RetryAdvice::After(ms) => RetryAdvice::After(Duration::from_millis(ms)),
        };
        let failure = Failure::from_guest(code, self.message, retry, self.details);
        Failure { code: passed_on.unwrap_or(failure.code), ..failure }
    }
}

fn to_guest(failure: Failure) -> GuestFailure {
    let retry = match failure.retry {
        RetryAdvice::ByPolicy => types::RetryAdvice::ByPolicy,
        RetryAdvice::Never => types::RetryAdvice::Never,
        RetryAdvice::After(wait) => types::RetryAdvice::After(wait.as_millis().try_into().unwrap_or(u64::MAX)),
    };
    let details = failure.details.map(|it| it.as_str().to_owned());
    GuestFailure { code: failure.code, message: failure.message, retry, details }
}

fn in_a_task(task: &str, request: &CallRequest) -> Failure {
    let (kind, name) = (if request.is_flow { "flow" } else { "task" }, &request.name);
    let message = format!(
        "task `{task}` called {kind} `{name}`: a task runs alone; call `{name}` from the flow, or make it a plain function"
    );
    Failure::new(code::NOT_IN_A_TASK, message)
}

impl State {
    fn flow(&self) -> Option<Arc<dyn FlowHost>> {
        match &self.host {
            Host::Flow(host) => Some(host.clone()),
            _ => None,
        }
    }

    /// While it describes itself a component may do nothing.
    fn refuse_describing(&self, what: &str) -> wasmtime::Result<()> {
        match self.host {
            Host::Describe(_) => {
                let message = format!("`describe` called {what}; it may only describe");
                Err(Stop::Failed(Failure::new(code::DENIED, message)).into())
            }
            _ => Ok(()),
        }
    }

    fn submit(&mut self, request: CallRequest) -> wasmtime::Result<Resource<Call>> {
        self.refuse_describing("a task")?;
        let held = self.sink.hidden(|it| {
            let secret = request.texts().find_map(|text| it.held_by(text).map(str::to_owned))?;
            Some((secret, it.out_of(request.name.clone())))
        });
        if let Some((secret, name)) = held {
            let message = format!(
                "what `{name}` is asked with holds the secret `{secret}`, and would be kept: let it ask for the secret itself"
            );
            return Err(Stop::Failed(Failure::new(code::DENIED, message)).into());
        }
        let call = match &self.host {
            Host::Flow(host) => Call::Made(host.submit(request).map_err(Stop::Failed)?),
            _ => {
                let task = self.attempt.as_ref().and_then(|it| it.task.as_ref());
                Call::InATask(in_a_task(task.map_or("", |it| &it.identity.name), &request))
            }
        };
        Ok(self.table.push(call)?)
    }

    fn number(&self, call: &Resource<Call>) -> wasmtime::Result<Option<u32>> {
        Ok(match self.table.get(call)? {
            Call::Made(number) => Some(*number),
            Call::InATask(_) => None,
        })
    }
}

fn request(name: String, is_flow: bool, input: String, options: tasks::Options) -> wasmtime::Result<CallRequest> {
    let bad = |error: BadField| Stop::Failed(Failure::new(code::INVALID, error.to_string()));
    let bounded = |field: &str, text: Option<&String>, most: usize| {
        let got = text.map_or(0, String::len);
        BadField::unless(got <= most, field, || format!("{got} bytes, at most {most} are allowed")).map_err(bad)
    };
    bounded(if is_flow { "flow" } else { "task" }, Some(&name), limits::NAME_BYTES)?;
    bounded("options.key", options.key.as_ref(), limits::KEY_BYTES)?;
    bounded("options.name", options.name.as_ref(), limits::NAME_BYTES)?;
    let retry = options.retry.map(policy);
    retry.as_ref().map_or(Ok(()), |it| it.check("options.retry")).map_err(bad)?;
    Ok(CallRequest { name, is_flow, input, key: options.key, label: options.name, retry })
}

impl tasks::Host for State {
    fn submit(&mut self, task: String, input: String, options: tasks::Options) -> wasmtime::Result<Resource<Call>> {
        let request = request(task, false, input, options)?;
        State::submit(self, request)
    }

    fn submit_flow(
        &mut self,
        flow: String,
        parameters: String,
        options: tasks::Options,
    ) -> wasmtime::Result<Resource<Call>> {
        let request = request(flow, true, parameters, options)?;
        State::submit(self, request)
    }

    async fn wait_any(&mut self, calls: Vec<Resource<Call>>) -> wasmtime::Result<u32> {
        if calls.is_empty() {
            let message = "`wait-any` was given no calls; it would wait for ever";
            return Err(Stop::Failed(Failure::new(code::INVALID, message)).into());
        }
        let numbers: Option<Vec<u32>> = calls.iter().map(|it| self.number(it)).collect::<Result<_, _>>()?;
        match (self.flow(), numbers) {
            (Some(host), Some(numbers)) => Ok(host.wait_any(numbers).await),
            // In a task every call has its answer already.
            _ => Ok(0),
        }
    }
}

impl tasks::HostCall for State {
    async fn outcome(&mut self, call: Resource<Call>) -> wasmtime::Result<Result<String, GuestFailure>> {
        let answer = match (self.flow(), self.number(&call)?) {
            (Some(host), Some(number)) => host.outcome(number).await,
            _ => match self.table.get(&call)? {
                Call::InATask(refused) => Err(refused.clone()),
                Call::Made(_) => unreachable!("only a flow's calls are made"),
            },
        };
        Ok(match answer {
            Ok(result) => Ok(result.as_str().to_owned()),
            Err(failure) => {
                self.hand(&failure.code);
                Err(to_guest(failure))
            }
        })
    }

    fn is_done(&mut self, call: Resource<Call>) -> wasmtime::Result<bool> {
        Ok(match (self.flow(), self.number(&call)?) {
            (Some(host), Some(number)) => host.is_done(number),
            _ => true,
        })
    }

    fn cancel(&mut self, call: Resource<Call>) -> wasmtime::Result<()> {
        if let (Some(host), Some(number)) = (self.flow(), self.number(&call)?) {
            host.cancel(number);
        }
        Ok(())
    }

    fn drop(&mut self, call: Resource<Call>) -> wasmtime::Result<()> {
        self.table.delete(call)?;
        Ok(())
    }
}

impl timers::Host for State {
    async fn sleep(&mut self, duration: u64) -> wasmtime::Result<()> {
        self.refuse_describing("a timer")?;
        let duration = Duration::from_millis(duration).min(limits::SLEEP);
        match self.flow() {
            Some(host) => host.sleep_until(host.now() + duration).await,
            None => crate::wasi::ordinary_sleep(duration).await,
        }
        Ok(())
    }

    async fn sleep_until(&mut self, unix_ms: u64) -> wasmtime::Result<()> {
        let now = self.now();
        let due = Timestamp::from_unix_ms(unix_ms).min(now + limits::SLEEP);
        match self.flow() {
            Some(host) => host.sleep_until(due).await,
            None => self.sleep(due.since(now).as_millis().try_into().unwrap_or(u64::MAX)).await?,
        }
        Ok(())
    }
}

impl context::Host for State {
    fn current(&mut self) -> wasmtime::Result<context::Run> {
        self.refuse_describing("its context")?;
        let attempt = self.attempt.as_ref().expect("only a component that describes itself has no attempt");
        let (run, task) = (attempt.run, attempt.task.as_ref());
        let task_run = task.map(|it| retake_core::id::TaskRunId { run, number: it.number }.to_string());
        let key = task.map(|it| it.identity.idempotency_key(run));
        Ok(context::Run {
            flow_run_id: run.to_string(),
            flow: attempt.flow.to_string(),
            deployment: attempt.deployment.as_deref().map(str::to_owned),
            task: task.map(|it| it.identity.name.to_string()),
            idempotency_key: key.unwrap_or_else(|| run.to_string()),
            task_run_id: task_run,
            attempt: attempt.attempt,
            retries_left: attempt.retries_left,
            scheduled_for: attempt.scheduled_for.as_unix_ms(),
        })
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String, fields: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let fields = Json::parse(fields, limits::LOG_LINE_BYTES).ok().filter(|it| it.as_str() != "{}");
        self.sink.write(level, message, fields);
        Ok(())
    }
}

impl values::Host for State {
    fn secret(&mut self, name: String) -> wasmtime::Result<Result<String, GuestFailure>> {
        let Some(value) = self.grants().and_then(|it| it.secrets.get(&name)).cloned() else {
            return self.denied("secret", &name).map(Err);
        };
        self.sink.hidden(|it| it.add(&name, &value));
        Ok(Ok(value.as_ref().to_owned()))
    }

    fn variable(&mut self, name: String) -> wasmtime::Result<Result<String, GuestFailure>> {
        match self.grants().and_then(|it| it.variables.get(&name)) {
            Some(value) => Ok(Ok(value.as_str().to_owned())),
            None => self.denied("variable", &name).map(Err),
        }
    }
}

impl State {
    /// Notes that a guest was handed a code. One of each is enough, and keeps a guest that is refused often from
    /// filling the list.
    fn hand(&mut self, code: &str) {
        if self.handed.len() < limits::LIST_ITEMS && !self.handed.iter().any(|it| it == code) {
            self.handed.push(code.to_owned());
        }
    }

    fn grants(&self) -> Option<&Grants> {
        self.attempt.as_ref()?.grants.as_deref()
    }

    fn denied(&mut self, kind: &str, name: &str) -> wasmtime::Result<GuestFailure> {
        self.refuse_describing(&format!("for a {kind}"))?;
        let name = failure::cut(name.to_owned(), limits::NAME_BYTES);
        self.hand(code::DENIED);
        let message = format!(
            "the {kind} `{name}` is not granted to this run: its metadata has to ask for it, and its deployment to grant \
             it (`retake deploy … --{kind} {name}`)"
        );
        Ok(to_guest(Failure::new(code::DENIED, message)))
    }
}

impl types::Host for State {}

fn component_info(info: types::ComponentInfo) -> Result<ComponentInfo, BadField> {
    let flows = info.flows.into_iter().enumerate().map(|(i, it)| flow_info(i, it)).collect::<Result<_, _>>()?;
    let tasks = info.tasks.into_iter().enumerate().map(|(i, it)| task_info(i, it)).collect::<Result<_, _>>()?;
    Ok(ComponentInfo { name: info.name, version: info.version, description: info.description, flows, tasks })
}

fn json(field: String, text: String) -> Result<Json, BadField> {
    Json::parse(text, limits::SCHEMA_BYTES).map_err(|error| BadField { field, problem: error.to_string() })
}

fn flow_info(i: usize, info: types::FlowInfo) -> Result<FlowInfo, BadField> {
    let at = |field: &str| format!("flows[{i}].{field}");
    Ok(FlowInfo {
        name: info.name,
        description: info.description,
        parameters: json(at("parameters"), info.parameters)?,
        returns: info.returns.map(|it| json(at("returns"), it)).transpose()?,
        retry: policy(info.retry),
        limits: asked_limits(info.limits),
        capabilities: info.capabilities.into_iter().map(capability).collect(),
        log_prints: info.log_prints,
        persist_result: info.persist_result,
        extensions: info.extensions.map(|it| json(at("extensions"), it)).transpose()?,
    })
}

fn task_info(i: usize, info: types::TaskInfo) -> Result<TaskInfo, BadField> {
    let at = |field: &str| format!("tasks[{i}].{field}");
    Ok(TaskInfo {
        name: info.name,
        description: info.description,
        version: info.version,
        input: json(at("input"), info.input)?,
        returns: info.returns.map(|it| json(at("returns"), it)).transpose()?,
        retry: policy(info.retry),
        limits: asked_limits(info.limits),
        capabilities: info.capabilities.into_iter().map(capability).collect(),
        log_prints: info.log_prints,
        persist_result: info.persist_result,
        tags: info.tags,
        extensions: info.extensions.map(|it| json(at("extensions"), it)).transpose()?,
    })
}

fn policy(policy: types::RetryPolicy) -> RetryPolicy {
    RetryPolicy {
        retries: policy.retries,
        delay: delay(policy.delay),
        delay_max: policy.delay_max.map(Duration::from_millis),
        jitter_permille: policy.jitter,
        give_up_after: policy.give_up_after.map(Duration::from_millis),
        rules: policy.rules.into_iter().map(rule).collect(),
        when_exhausted: match policy.when_exhausted {
            types::WhenExhausted::Fail => WhenExhausted::Fail,
            types::WhenExhausted::Park => WhenExhausted::Park,
        },
    }
}

fn delay(delay: types::Delay) -> Delay {
    match delay {
        types::Delay::Fixed(ms) => Delay::Fixed(Duration::from_millis(ms)),
        types::Delay::Listed(list) => Delay::Listed(list),
        types::Delay::Exponential(it) => {
            Delay::Exponential { initial: Duration::from_millis(it.initial), factor_permille: it.factor_permille }
        }
    }
}

fn rule(rule: types::Rule) -> Rule {
    let action = match rule.action {
        types::Action::Retry(own) => {
            Action::Retry(own.map(|it| OwnRetries { retries: it.retries, delay: delay(it.delay) }))
        }
        types::Action::Fail => Action::Fail,
        types::Action::Park => Action::Park,
    };
    Rule { codes: rule.codes, action }
}

fn asked_limits(limits: types::Limits) -> AskedLimits {
    AskedLimits {
        memory_bytes: limits.memory_bytes,
        cpu_time: limits.cpu_time.map(Duration::from_millis),
        timeout: limits.timeout.map(Duration::from_millis),
    }
}

fn capability(capability: types::Capability) -> Capability {
    match capability {
        types::Capability::Http(host) => Capability::Http(host),
        types::Capability::Dir(dir) => Capability::Dir { name: dir.name, writable: dir.writable },
        types::Capability::Secret(name) => Capability::Secret(name),
        types::Capability::Variable(name) => Capability::Variable(name),
    }
}
