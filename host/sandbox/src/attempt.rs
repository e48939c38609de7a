//! One attempt in one fresh sandbox, from its store to its report.

use std::pin::pin;
use std::sync::Arc;

use retake_core::component::AttemptLimits;
use retake_core::failure::{Failure, code};
use retake_core::limits;
use retake_core::port::{Attempt, FlowHost, Logs, Report};
use retake_core::task::Evidence;
use retake_core::time::{Clock, Timestamp};
use retake_core::value::{BadJson, Json};
use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use crate::Sandbox;
use crate::abi::{Loaded, Program};
use crate::limits::{CALL_FUEL, HANDLES, Limiter, Meter, Tick};
use crate::logs::Sink;
use crate::trap::{self, Stop};
use crate::wasi::TABLE_ENTRIES;

/// Who answers what a guest asks for.
pub(crate) enum Host {
    /// A flow's body: the engine.
    Flow(Arc<dyn FlowHost>),
    /// A task: nobody. It may print and log.
    Task(Arc<dyn Logs>),
    /// A component that describes itself, as if at this instant: nobody.
    Describe(Timestamp),
}

/// What a store knows of its guest.
pub(crate) struct State {
    pub(crate) host: Host,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) sink: Sink,
    pub(crate) wasi: Option<WasiCtx>,
    pub(crate) table: ResourceTable,
    pub(crate) seed: Option<u64>,
    /// What a program is run with.
    pub(crate) program: Option<Program>,
    /// Codes of the host's own that this flow was handed, and may therefore pass on.
    pub(crate) handed: Vec<String>,
    /// Whether it asked for a socket.
    pub(crate) wanted_socket: bool,
    pub(crate) limiter: Limiter,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
}

impl State {
    /// Returns what the guest's clocks show.
    pub(crate) fn now(&self) -> Timestamp {
        match &self.host {
            Host::Flow(host) => host.now(),
            Host::Task(_) => self.clock.now(),
            Host::Describe(now) => *now,
        }
    }
}

/// Makes a store whose guest is bounded from its first instruction: start functions run during instantiation (T02).
pub(crate) fn store(
    sandbox: &Sandbox,
    host: Host,
    attempt: Option<Attempt>,
    sink: Sink,
    seed: Option<u64>,
    limits: &AttemptLimits,
    meter: Arc<Meter>,
) -> Store<State> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(TABLE_ENTRIES);
    let state = State {
        host,
        attempt,
        sink,
        wasi: None,
        table,
        seed,
        program: None,
        handed: Vec::new(),
        wanted_socket: false,
        limiter: Limiter::new(limits),
        meter,
        clock: sandbox.clock.clone(),
    };
    let mut store = Store::new(&sandbox.engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(CALL_FUEL);
    store.set_max_component_handles(HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|cx| {
        let state = cx.data();
        match state.meter.tick() {
            Tick::UsedUp => return Err(Stop::Cpu.into()),
            Tick::JustResumed => return Ok(UpdateDeadline::Continue(1)),
            Tick::Computes => {}
        }
        if let Host::Flow(host) = &state.host {
            host.tick();
        }
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

/// A guest that is being run. Dropped before its end it tells its flow's host what was used until then.
struct Running {
    store: Store<State>,
    sink: Sink,
    meter: Arc<Meter>,
    over: bool,
}

impl Running {
    fn used(&self, bytes_out: u64, log_bytes_dropped: u64) -> Evidence {
        let peak_memory = self.store.data().limiter.peak as u64;
        Evidence { cpu_us: self.meter.spent() / 1000, peak_memory, bytes_out, log_bytes_dropped }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Host::Flow(host), false) = (&self.store.data().host, self.over) {
            // What it has not written to the end of a line it writes when it goes on.
            let (bytes, dropped) = self.sink.so_far();
            host.cut_short(self.used(bytes, dropped));
        }
    }
}

/// Makes an attempt and reports how it ended. Dropping the future stops the guest.
pub(crate) async fn run(sandbox: &Sandbox, attempt: &Attempt, host: Host) -> Report {
    let loaded = match sandbox.load(attempt.component).await {
        Ok(loaded) => loaded,
        Err(failure) => return Report { outcome: Err(failure), evidence: Evidence::default() },
    };
    let (logs, seed): (Arc<dyn Logs>, _) = match &host {
        Host::Flow(flow) => (flow.clone(), Some(attempt.run.entropy(0, attempt.attempt))),
        Host::Task(logs) => (logs.clone(), None),
        Host::Describe(_) => unreachable!("describing is not an attempt"),
    };
    let sink = Sink::new(logs, sandbox.clock.clone(), attempt.task.as_ref(), attempt.attempt, attempt.log_prints);
    let meter = Meter::new(&attempt.limits);
    let store = store(sandbox, host, Some(attempt.clone()), sink.clone(), seed, &attempt.limits, meter.clone());
    let mut guest = Running { store, sink: sink.clone(), meter: meter.clone(), over: false };
    let running = sandbox.ticker.running();
    let returned = {
        let guest = pin!(call_guest(&loaded, &mut guest.store, attempt));
        let guest = meter.charge(guest);
        match attempt.limits.timeout {
            None => Some(guest.await),
            Some(limit) => tokio::time::timeout(limit.saturating_sub(attempt.elapsed), guest).await.ok(),
        }
    };
    drop(running);
    guest.over = true;
    let closed = sink.close();
    let state = guest.store.data();
    let outcome = match returned {
        None => Err(attempt.limits.timed_out()),
        Some(Err(error)) => Err(trap::failure(&error, &attempt.limits, state, &closed.last_words)),
        Some(Ok(Err(failure))) => Err(trap::unless_for_a_socket(failure, state.wanted_socket)),
        Some(Ok(Ok(text))) => result(text),
    };
    let outcome = sink.hidden(|hidden| match outcome {
        Ok(result) => Ok(hidden.out_of_json(result)),
        Err(failure) => Err(hidden.out_of_failure(failure)),
    });
    let bytes = outcome.as_ref().map_or(0, |it| it.as_str().len() as u64);
    Report { outcome, evidence: guest.used(closed.kept + bytes, closed.dropped) }
}

async fn call_guest(
    loaded: &Loaded,
    store: &mut Store<State>,
    attempt: &Attempt,
) -> wasmtime::Result<Result<String, Failure>> {
    match &attempt.task {
        Some(task) => loaded.run_task(store, &task.identity.name, attempt.input.as_str()).await,
        None => loaded.run_flow(store, &attempt.flow, attempt.input.as_str()).await,
    }
}

/// Checks what a guest returned.
fn result(text: String) -> Result<Json, Failure> {
    Json::parse(text, limits::VALUE_BYTES).map_err(|error| {
        let message = match &error {
            BadJson::TooLong { got, max } => format!("returned {got} bytes, a result has at most {max}"),
            BadJson::TooDeep => format!("returned {error}"),
            BadJson::TooLarge => return Failure::new(code::RESULT, format!("its result: {error}")),
            BadJson::Malformed(cause) => {
                return Failure::new(code::RESULT, format!("returned what is not JSON: {cause}"));
            }
        };
        Failure::new(code::OUTPUT, message)
    })
}
