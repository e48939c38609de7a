//! The raw line: the smallest program that does the same durable work with the same guest. A fresh instance for each
//! flow and each task, one durable row for each task attempt, commits grouped, and nothing else: no run state, no
//! queue, no retries, no limits. Keep it honest: it is what we are compared with.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use wasmtime::component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker, Resource, ResourceTable};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::measure::{self, Cost, Meter};

mod bindings {
    #![allow(missing_docs, unreachable_pub, dead_code, reason = "generated from the contract, which is documented")]
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "flow",
        imports: {
            "retake:flow/tasks.submit": trappable,
            "retake:flow/tasks.[method]call.outcome": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: { "retake:flow/tasks.call": super::Call },
    });
}
use bindings::retake::flow::{context, log, tasks, timers, types, values};

#[allow(unreachable_pub, reason = "the generated code exports it again")]
pub struct Call {
    task: String,
    input: String,
}

struct Row {
    run: u64,
    seq: u32,
    name: String,
    result: String,
    done: tokio::sync::oneshot::Sender<()>,
}

struct State {
    wasi: Option<WasiCtx>,
    table: ResourceTable,
    host: Option<(Arc<Shared>, u64, u32)>,
}

struct Shared {
    engine: Engine,
    pre: OnceLock<InstancePre<State>>,
    run_flow: ComponentExportIndex,
    run_task: ComponentExportIndex,
    rows: Option<crossbeam_channel::Sender<Row>>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| WasiCtx::builder().build());
        WasiCtxView { ctx, table: &mut self.table }
    }
}

type Returned = (Result<String, types::Failure>,);

impl Shared {
    async fn call(
        self: &Arc<Self>,
        state: State,
        export: &ComponentExportIndex,
        name: &str,
        input: &str,
    ) -> wasmtime::Result<String> {
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(1 << 40);
        let instance = self.pre.get().unwrap().instantiate_async(&mut store).await?;
        let function = instance.get_typed_func::<(&str, &str), Returned>(&mut store, export)?;
        let (returned,) = function.call_async(&mut store, (name, input)).await?;
        returned.map_err(|it| wasmtime::Error::msg(it.message))
    }

    async fn task(self: &Arc<Self>, name: &str, input: &str) -> wasmtime::Result<String> {
        let state = State { wasi: None, table: ResourceTable::new(), host: None };
        self.call(state, &self.run_task, name, input).await
    }

    async fn flow(self: &Arc<Self>, run: u64) -> wasmtime::Result<String> {
        let state = State { wasi: None, table: ResourceTable::new(), host: Some((self.clone(), run, 0)) };
        self.call(state, &self.run_flow, "ten-tasks", "{\"n\":10}").await
    }
}

impl tasks::Host for State {
    fn submit(&mut self, task: String, input: String, _: tasks::Options) -> wasmtime::Result<Resource<Call>> {
        Ok(self.table.push(Call { task, input })?)
    }

    fn submit_flow(&mut self, _: String, _: String, _: tasks::Options) -> wasmtime::Result<Resource<Call>> {
        Err(wasmtime::Error::msg("not part of the raw line"))
    }

    fn wait_any(&mut self, _: Vec<Resource<Call>>) -> wasmtime::Result<u32> {
        Err(wasmtime::Error::msg("not part of the raw line"))
    }
}

impl tasks::HostCall for State {
    async fn outcome(&mut self, call: Resource<Call>) -> wasmtime::Result<Result<String, types::Failure>> {
        let Call { task, input } = self.table.get(&call)?;
        let (shared, run, seq) = self.host.as_mut().unwrap();
        *seq += 1;
        let result = shared.task(task, input).await?;
        if let Some(rows) = &shared.rows {
            let (done, told) = tokio::sync::oneshot::channel();
            rows.send(Row { run: *run, seq: *seq, name: task.clone(), result: result.clone(), done })?;
            told.await?;
        }
        Ok(Ok(result))
    }

    fn is_done(&mut self, _: Resource<Call>) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn cancel(&mut self, _: Resource<Call>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn drop(&mut self, call: Resource<Call>) -> wasmtime::Result<()> {
        self.table.delete(call)?;
        Ok(())
    }
}

impl types::Host for State {}

impl timers::Host for State {
    fn sleep(&mut self, _: u64) -> wasmtime::Result<()> {
        Ok(())
    }
    fn sleep_until(&mut self, _: u64) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl log::Host for State {
    fn write(&mut self, _: log::Level, _: String, _: String) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl values::Host for State {
    fn secret(&mut self, _: String) -> wasmtime::Result<Result<String, types::Failure>> {
        Err(wasmtime::Error::msg("not part of the raw line"))
    }
    fn variable(&mut self, _: String) -> wasmtime::Result<Result<String, types::Failure>> {
        Err(wasmtime::Error::msg("not part of the raw line"))
    }
}

impl context::Host for State {
    fn current(&mut self) -> wasmtime::Result<context::Run> {
        Ok(context::Run {
            flow_run_id: String::new(),
            flow: String::new(),
            deployment: None,
            task: None,
            task_run_id: None,
            attempt: 1,
            retries_left: 0,
            idempotency_key: String::new(),
            scheduled_for: 0,
        })
    }
}

/// A guest ready for raw instances.
pub(crate) struct Raw {
    engine: Engine,
    component: Component,
}

impl Raw {
    pub(crate) fn new(guest: &[u8]) -> anyhow::Result<Self> {
        let slots = 2500;
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(slots)
            .total_core_instances(slots * 8)
            .total_memories(slots)
            .total_tables(slots * 2)
            .total_stacks(slots)
            .table_elements(20_000)
            .max_memory_size(256 << 20)
            .max_unused_warm_slots(slots)
            .linear_memory_keep_resident(1 << 20)
            .table_keep_resident(1 << 20)
            .async_stack_keep_resident(64 << 10)
            .max_core_instance_size(1 << 20)
            .max_component_instance_size(1 << 20)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config.concurrency_support(false).epoch_interruption(true);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).map_err(|it| anyhow::anyhow!("{it:#}"))?;
        let component = Component::new(&engine, guest).map_err(|it| anyhow::anyhow!("{it:#}"))?;
        Ok(Self { engine, component })
    }

    fn shared(&self, rows: Option<crossbeam_channel::Sender<Row>>) -> wasmtime::Result<Arc<Shared>> {
        let mut linker = Linker::new(&self.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        bindings::Flow::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
        let plugin = self.component.get_export_index(None, "retake:flow/plugin@0.1.0").unwrap();
        let export = |name| self.component.get_export_index(Some(&plugin), name).unwrap();
        let (run_flow, run_task) = (export("run-flow"), export("run-task"));
        let shared = Shared { engine: self.engine.clone(), pre: OnceLock::new(), run_flow, run_task, rows };
        let _ = shared.pre.set(linker.instantiate_pre(&self.component)?);
        Ok(Arc::new(shared))
    }

    /// A fresh instance and one call of a task, over and over on one thread.
    pub(crate) fn sandboxes(&self, task: &str, input: &str, length: Duration) -> anyhow::Result<Cost> {
        let shared = self.shared(None).map_err(|it| anyhow::anyhow!("{it:#}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            for _ in 0..200 {
                shared.task(task, input).await.map_err(|it| anyhow::anyhow!("{it:#}"))?;
            }
            let (meter, end) = (Meter::start(), Instant::now() + length);
            let mut lasted = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                shared.task(task, input).await.map_err(|it| anyhow::anyhow!("{it:#}"))?;
                lasted.push(began.elapsed());
            }
            Ok(meter.end(lasted))
        })
    }

    /// As many flows at once, each with ten tasks and ten durable rows.
    pub(crate) fn end_to_end(
        &self,
        dir: &Path,
        concurrency: usize,
        threads: usize,
        length: Duration,
    ) -> anyhow::Result<Cost> {
        let dir = tempfile::tempdir_in(dir)?;
        let (rows, taken) = crossbeam_channel::bounded(1 << 16);
        let writer = writer(&dir.path().join("raw.db"), taken)?;
        let shared = self.shared(Some(rows)).map_err(|it| anyhow::anyhow!("{it:#}"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        let runs = Arc::new(AtomicU64::new(1));
        let flow = {
            let shared = shared.clone();
            move || {
                let (shared, run) = (shared.clone(), runs.fetch_add(1, Ordering::Relaxed));
                async move { drop(shared.flow(run).await.unwrap()) }
            }
        };
        let cost = runtime.block_on(measure::many(concurrency, length, flow));
        drop(shared);
        drop(runtime);
        writer.join().map_err(|_| anyhow::anyhow!("the raw writer panicked"))?;
        Ok(cost)
    }
}

/// One thread that takes all that is waiting into one transaction.
fn writer(path: &Path, taken: crossbeam_channel::Receiver<Row>) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let mut database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "pragma journal_mode=wal; pragma synchronous=full; pragma wal_autocheckpoint=4000; pragma cache_size=-65536;
         create table task_result(id integer primary key, run integer not null, seq integer not null,
                                  name text not null, result blob not null);
         create unique index task_result_run on task_result(run, seq);
         pragma wal_autocheckpoint=0; create table pad(b blob); insert into pad values(zeroblob(24000000));
         pragma wal_checkpoint(restart); drop table pad; pragma wal_checkpoint(restart);
         pragma wal_autocheckpoint=4000;",
    )?;
    Ok(std::thread::spawn(move || {
        while let Ok(first) = taken.recv() {
            let transaction = database.transaction().unwrap();
            let mut done = Vec::new();
            {
                let sql = "insert into task_result(run, seq, name, result) values(?1, ?2, ?3, ?4)";
                let mut insert = transaction.prepare_cached(sql).unwrap();
                let mut next = Some(first);
                while let Some(row) = next {
                    insert.execute(rusqlite::params![row.run as i64, row.seq, row.name, row.result]).unwrap();
                    done.push(row.done);
                    next = (done.len() < 2048).then(|| taken.try_recv().ok()).flatten();
                }
            }
            transaction.commit().unwrap();
            for done in done {
                let _ = done.send(());
            }
        }
    }))
}
