//! `run`, `watch` and `worker`: what works on runs.

use std::sync::Arc;
use std::time::Duration;

use anstream::println;
use retake_core::component::ComponentInfo;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::limits;
use retake_core::replay::CallKind;
use retake_core::run::RunState;
use retake_core::task::Overrides;
use retake_core::time::Timestamp;
use retake_engine::{AskError, Scope, StartRequest};
use retake_store::{RunRecord, Store};

use crate::args::{Args, Format, PolicyOverrides, Run, Wait, Watch, Worker};
use crate::follow::{Over, follow, interrupted, work};
use crate::local::{self, Local};
use crate::out::{self, Exit, Trouble};
use crate::progress::{Teller, due_words, words};
use crate::{inspect, params, remote, server};
use retake_server::wire::RunView;

pub(crate) async fn run(args: &Args, typed: &Run) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    if let Some(client) = server::found(args)? {
        return remote::run(args, &client, typed).await;
    }
    if let Some((flow, _)) = deployed(args, &typed.target).await? {
        let message = format!("`{}` is a deployment, and no server works on it", typed.target);
        let hint = format!("`retake server` does; `retake run {flow}` runs the flow alone");
        return Err(Trouble::new(Exit::Unreachable, message).hint(hint).into());
    }
    let file = inspect::is_file(&typed.target).then(|| inspect::read(args, typed.target.as_ref())).transpose()?;
    let teller = Arc::new(Teller::new(args.quiet));
    let local = local::open(args, Some(teller.clone())).await?;
    if file.is_some() && find_flow(local.store.as_ref(), &typed.target).await.is_ok() {
        teller.say(&inspect::also_a_flow(&typed.target));
    }
    let (digest, info) = match &file {
        Some(bytes) => known(&local, &teller, bytes).await?,
        None => find_flow(local.store.as_ref(), &typed.target).await?,
    };
    let named = typed.flow.as_deref().or((!inspect::is_file(&typed.target)).then_some(typed.target.as_str()));
    let flow = choose_flow(&info, named)?;
    let request = StartRequest {
        component: digest,
        flow: flow.name.clone(),
        parameters: params::read(&typed.parameters, flow)?,
        overrides: Overrides { memory_bytes: typed.memory, inject: typed.inject.clone(), ..overrides(&typed.policy) },
        idempotency_key: typed.key.clone(),
        at: at(typed, &local),
        through: None,
    };
    if request.idempotency_key.as_deref() == Some("") {
        return Err(Trouble::new(Exit::Usage, "`--key` is empty")
            .hint("leave it out, or name what is asked for")
            .into());
    }
    // What is refused keeps nothing, and changes nothing about which code a name means.
    local.engine.check(&request).await.map_err(explain)?;
    if let Some(bytes) = file {
        local.engine.register(digest, info.clone(), bytes).await?;
    }
    let (record, made) = local.engine.start(request).await.map_err(|it| local.told(explain(it)))?;
    let id = record.asked.id;
    teller.follow(id);
    let name = id.friendly_name();
    match made {
        true => teller.say(&format!("run {name} of {}", out::one_line(&record.asked.flow))),
        false => teller.say(&format!("run {name} was made before under this key")),
    }
    let left = stay(args, &local, &teller, id, &typed.wait).await?;
    write_outcome(args, &local, &left.record).await?;
    // Who asked for later did not wait for it in vain.
    let as_asked = left.exit == Exit::WaitEnded && left.record.run.attempt == 0 && !typed.wait.wait;
    Ok(if as_asked && (typed.at.is_some() || typed.in_.is_some()) { Exit::Ok } else { left.exit })
}

pub(crate) async fn watch(args: &Args, typed: &Watch) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    if let Some(client) = server::found(args)? {
        return remote::watch(args, &client, typed).await;
    }
    let teller = Arc::new(Teller::new(args.quiet));
    let store = local::look(args)?.ok_or_else(|| local::nothing_kept(&typed.run))?;
    let id = local::find(store.as_ref(), &typed.run).await?;
    drop(store);
    let local = local::open(args, Some(teller.clone())).await?;
    teller.follow(id);
    teller.say(&format!("run {}", id.friendly_name()));
    let left = stay(args, &local, &teller, id, &typed.wait).await?;
    write_outcome(args, &local, &left.record).await?;
    Ok(left.exit)
}

pub(crate) async fn worker(args: &Args, typed: &Worker) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let teller = Arc::new(Teller::new(args.quiet));
    let local = local::open(args, Some(teller.clone())).await?;
    let shutdown = async {
        match typed.drain {
            true => tokio::select! {
                () = drained(&local, &typed.queue) => {}
                () = interrupted() => {}
            },
            false => interrupted().await,
        }
    };
    work(&local, Scope { root: None, queues: typed.queue.clone().into() }, shutdown).await?;
    teller.clear();
    if typed.drain {
        match local.store.next_due(None).await? {
            Some(due) => teller.say(&format!("nothing is due; the next is at {}", due_words(due))),
            None => teller.say("nothing is due, and nothing waits"),
        }
    }
    Ok(Exit::Ok)
}

/// Whether a target is a deployment that is kept, and not a file; its flow and its name then.
async fn deployed<'a>(args: &Args, target: &'a str) -> anyhow::Result<Option<(&'a str, &'a str)>> {
    let Some(parts) = target.split_once('/').filter(|_| !std::path::Path::new(target).exists()) else {
        return Ok(None);
    };
    let Some(store) = local::look(args)? else { return Ok(None) };
    let found = store.definition(retake_store::kind::DEPLOYMENT, target).await?;
    Ok(found.map(|_| parts))
}

/// Waits until nothing is being worked on and nothing is due, in these queues or in all: for two looks, because a child
/// may be due that its parent has just been put aside for.
async fn drained(local: &Local, queues: &[String]) {
    let mut looks = 0;
    while looks < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = local.clock.now();
        let busy = local.engine.in_use().flow_runs > 0;
        let due = match queues {
            [] => local.store.next_due(None).await.is_ok_and(|it| it.is_some_and(|due| due <= now)),
            queues => {
                let waiting = local.store.waiting(now, u64::MAX).await;
                waiting.is_ok_and(|it| it.iter().any(|(name, ..)| queues.contains(name)))
            }
        };
        looks = if busy || due { 0 } else { looks + 1 };
    }
}

/// Inspects a component, unless it is kept already, and makes it known without keeping it.
pub(crate) async fn known(
    local: &Local,
    teller: &Teller,
    bytes: &[u8],
) -> anyhow::Result<(ContentDigest, ComponentInfo)> {
    let digest = ContentDigest::of(bytes);
    if let Some(kept) = local.store.component(digest).await? {
        return Ok((digest, kept.info));
    }
    teller.wait_for_code("inspecting and compiling", bytes.len());
    let inspection = local.sandbox.inspect(bytes.to_vec()).await.map_err(inspect::refused)?;
    local.engine.preview(digest, inspection.info.clone())?;
    Ok((digest, inspection.info))
}

/// Inspects and keeps a component. It is the newest then, and what was damaged of it on the disk heals.
pub(crate) async fn keep(
    local: &Local,
    teller: &Teller,
    bytes: Vec<u8>,
) -> anyhow::Result<(ContentDigest, ComponentInfo)> {
    let (digest, info) = known(local, teller, &bytes).await?;
    local.engine.register(digest, info.clone(), bytes).await?;
    Ok((digest, info))
}

/// Finds the newest component that has a flow of this name.
pub(crate) async fn find_flow(store: &dyn Store, name: &str) -> anyhow::Result<(ContentDigest, ComponentInfo)> {
    let components = store.components().await?;
    if let Some(found) = components.iter().find(|it| it.info.flow(name).is_some()) {
        return Ok((found.digest, found.info.clone()));
    }
    let mut names: Vec<&str> =
        components.iter().flat_map(|it| it.info.flows.iter().map(|it| it.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let hint = match names.as_slice() {
        [] => "no component is known yet: `retake run FILE.wasm`".to_owned(),
        names => format!("known flows: {}", names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")),
    };
    let message = format!("there is no file and no flow called `{name}`");
    Err(Trouble::new(Exit::NotFound, message).hint(hint).into())
}

/// Chooses the flow that was named, or the only one, or the one called like its component.
pub(crate) fn choose_flow<'a>(
    info: &'a ComponentInfo,
    named: Option<&str>,
) -> anyhow::Result<&'a retake_core::component::FlowInfo> {
    let names = || info.flows.iter().map(|it| format!("`{}`", it.name)).collect::<Vec<_>>().join(", ");
    if let Some(name) = named {
        return info.flow(name).ok_or_else(|| {
            let message = format!("the component `{}` has no flow `{name}`", info.name);
            Trouble::new(Exit::NotFound, message).hint(format!("it has {}", names())).into()
        });
    }
    match info.flows.as_slice() {
        [only] => Ok(only),
        _ => info.flow(&info.name).ok_or_else(|| {
            let message = format!("the component `{}` has several flows", info.name);
            Trouble::new(Exit::Usage, message).hint(format!("choose one with `--flow`: {}", names())).into()
        }),
    }
}

pub(crate) fn overrides(typed: &PolicyOverrides) -> Overrides {
    Overrides { retries: typed.retries, retry_delay: typed.retry_delay, ..Overrides::default() }
}

fn at(typed: &Run, local: &Local) -> Option<Timestamp> {
    match (typed.at, typed.in_) {
        (Some(at), _) => Some(Timestamp::from_micros(at.as_microsecond())),
        (None, Some(wait)) => Some(local.clock.now() + wait),
        (None, None) => None,
    }
}

/// Says which parts of a value do not fit, and what would.
pub(crate) fn explain(error: AskError) -> anyhow::Error {
    let (what, misfits) = match &error {
        AskError::Parameters(misfits) => ("the parameters", misfits),
        AskError::Result(_, misfits) => ("the result", misfits),
        _ => return error.into(),
    };
    let mut trouble = Trouble::new(Exit::Usage, error.to_string());
    for misfit in misfits {
        let at = if misfit.pointer.is_empty() { what.to_owned() } else { format!("`{}`", misfit.pointer) };
        trouble = trouble.cause(format!("{at}: {}", misfit.problem));
    }
    trouble.hint("`retake inspect FLOW` shows the schemas of its component").into()
}

async fn kept_results(store: &dyn Store, id: FlowRunId) -> anyhow::Result<usize> {
    let tasks = store.task_runs(id).await?;
    let kept = tasks.iter().filter(|it| it.identity.kind != CallKind::Sleep);
    Ok(kept.filter(|it| it.is_kept()).count())
}

/// A run that is not followed any more.
pub(crate) struct Left {
    pub(crate) record: Box<RunRecord>,
    pub(crate) exit: Exit,
}

/// Follows a run and says in words how it ended. The data is left to the caller, who may have more of it to write.
pub(crate) async fn stay(
    args: &Args,
    local: &Local,
    teller: &Teller,
    id: FlowRunId,
    wait: &Wait,
) -> anyhow::Result<Left> {
    let over = follow(local, id, wait).await?;
    teller.clear();
    let name = id.friendly_name();
    let (record, exit) = match over {
        Over::Ended(record) => {
            let exit = match record.run.state {
                RunState::Completed => Exit::Ok,
                _ => Exit::Failed,
            };
            (record, exit)
        }
        Over::Paused(record) => {
            teller.say(&format!("run {name} is Paused"));
            teller.say(&format!("  hint: retake resume {name}"));
            (record, Exit::WaitEnded)
        }
        Over::Idle(record, due) => {
            let shown = record.run.shown(local.clock.now());
            teller.say(&format!("run {name} is {shown} until {}", due_words(due)));
            teller.say(&format!("  hint: retake watch {name} --wait"));
            (record, Exit::WaitEnded)
        }
        Over::TimeLimit(record) => {
            teller.say(&format!("run {name} is left where it is: the wait is over"));
            teller.say(&format!("  hint: retake watch {name}"));
            (record, Exit::WaitEnded)
        }
        Over::Interrupted(record) => {
            teller.say(&format!("run {name} is left where it is"));
            teller.say(&format!("  hint: retake watch {name}"));
            (record, Exit::Interrupted)
        }
    };
    if exit == Exit::Failed {
        let kept = match kept_results(local.store.as_ref(), id).await? {
            0 => String::new(),
            1 => ": 1 task result is kept".to_owned(),
            n => format!(": {n} task results are kept"),
        };
        let shown = record.run.shown(local.clock.now()).to_string().to_lowercase();
        let why = record.failure.as_ref().map(|it| format!(" ({})", words(it))).unwrap_or_default();
        match args.quiet {
            true => anstream::eprintln!("error: run {name} {shown}{why}\nhint: retake retry {name}"),
            false => teller.say(&format!("run {name} {shown}{why}{kept}\n  hint: retake retry {name}")),
        }
    }
    Ok(Left { record, exit })
}

/// Writes what came of a run to stdout.
pub(crate) async fn write_outcome(args: &Args, local: &Local, record: &RunRecord) -> anyhow::Result<()> {
    let store = local.store.as_ref();
    match args.output {
        Format::Table => {
            if let Some(kept) = &record.result {
                println!("{}", out::plain(&store.value(kept).await?.pretty()));
            }
        }
        Format::Id => println!("{}", record.asked.id),
        format => {
            let view = RunView::whole(store, record, local.clock.now()).await?;
            out::one(format, &view, String::new, String::new);
        }
    }
    Ok(())
}

/// So that the documentation of `run` stays true: it names this wait.
const _: () = assert!(limits::SUSPEND_AFTER.as_secs() == 10);
