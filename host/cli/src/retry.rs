//! `retry`: the plan, one run, or all that a filter finds.

use std::sync::Arc;
use std::time::Duration;

use anstream::println;
use retake_core::component::ComponentInfo;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::run::{RunState, Shown};
use retake_core::task::Overrides;
use retake_core::value::Json;
use retake_engine::RetryAsk;
use retake_store::{RunRecord, Store};

use crate::args::{Args, Format, Retry, Wait, Which};
use crate::local::{self, Local};
use crate::out::{self, Exit, Trouble, one_line};
use crate::progress::Teller;
use crate::run::Left;
use crate::{inspect, look, params, run};
use retake_server::wire::{PlanView, RunView};

/// Most runs that one command retries.
const MOST: usize = 10_000;
/// First and longest wait between two retries of `--until-success`.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

pub(crate) async fn retry(args: &Args, typed: &Retry) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    if let Some(client) = crate::server::found(args)? {
        return crate::remote::retry(args, &client, typed).await;
    }
    let Some(text) = &typed.run else { return several(args, typed).await };
    let teller = Arc::new(Teller::new(args.quiet));
    // Looked up first, so that a typo does not have to wait for anything.
    let store = local::look(args)?.ok_or_else(|| local::nothing_kept(text))?;
    let id = local::find(store.as_ref(), text).await?;
    drop(store);
    let local = local::open(args, Some(teller.clone())).await?;
    let record = local.store.run(id).await?;
    let ask = ask(args, &local, &teller, &record, typed).await?;
    let plan = local.engine.plan_retry(id, &ask).await;
    let plan = PlanView::new(id, &plan.map_err(|error| with_hint(error, id, typed))?);
    if typed.dry_run {
        write_plan(args.output, &plan);
        return Ok(Exit::Ok);
    }
    local.engine.retry(id, ask).await.map_err(|it| local.told(it))?;
    teller.follow(id);
    teller.say(&format!("run {} again: {}", id.friendly_name(), plan.summary()));
    let left = stay(args, &local, &teller, id, typed).await?;
    run::write_outcome(args, &local, &left.record).await?;
    Ok(left.exit)
}

/// Works on a run that was retried; again and again, if that was asked for. Only what came of it last is an answer.
async fn stay(args: &Args, local: &Local, teller: &Teller, id: FlowRunId, typed: &Retry) -> anyhow::Result<Left> {
    let began = tokio::time::Instant::now();
    let wait = || Wait {
        // Who wants it to succeed does not want to be left before a distant attempt.
        wait: typed.wait.wait || typed.until_success,
        // All retries together may take so long.
        timeout: typed.wait.timeout.map(|it| it.saturating_sub(began.elapsed())),
    };
    let mut left = run::stay(args, local, teller, id, &wait()).await?;
    let mut pause = AGAIN_FIRST;
    // Who cancelled it wants no more of it.
    while typed.until_success && left.exit == Exit::Failed && !left.record.run.state.is_cancelled() {
        if wait().timeout.is_some_and(|it| it <= pause) {
            teller.say("not again: the wait is over before that");
            return Ok(Left { exit: Exit::WaitEnded, ..left });
        }
        teller.say(&format!("again in {}; Ctrl-C leaves it", out::took(pause)));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = crate::follow::interrupted() => return Ok(Left { exit: Exit::Interrupted, ..left }),
        }
        pause = (pause * 2).min(AGAIN_MAX);
        // What was to be forgotten is forgotten; the policy that was asked for is meant for all of these rounds.
        let expected_attempt = Some(left.record.run.attempt);
        let again = RetryAsk { overrides: overrides(typed), expected_attempt, ..RetryAsk::default() };
        local.engine.retry(id, again).await?;
        left = run::stay(args, local, teller, id, &wait()).await?;
    }
    Ok(left)
}

/// What was typed, for one run.
async fn ask(
    args: &Args,
    local: &Local,
    teller: &Teller,
    record: &RunRecord,
    typed: &Retry,
) -> anyhow::Result<RetryAsk> {
    let other = match &typed.version {
        Some(version) => Some(other_code(args, local, teller, record, version, typed.dry_run).await?),
        None => None,
    };
    let parameters = match (typed.parameters.is_empty() && typed.unset.is_empty(), &other) {
        (true, _) => None,
        (false, Some((_, info))) => Some(parameters(local, record, info, typed).await?),
        (false, None) => {
            let digest = record.asked.component;
            let known = local.store.component(digest).await?.ok_or(retake_store::StoreError::NoComponent(digest))?;
            Some(parameters(local, record, &known.info, typed).await?)
        }
    };
    Ok(RetryAsk {
        from: typed.from.clone(),
        rerun: typed.rerun.clone(),
        all: typed.all,
        component: other.map(|(digest, _)| digest),
        parameters,
        expected_attempt: typed.expected_attempt,
        overrides: overrides(typed),
    })
}

fn overrides(typed: &Retry) -> Overrides {
    Overrides { memory_bytes: typed.memory, ..run::overrides(&typed.policy) }
}

/// Lays what was typed over the parameters that the run had.
async fn parameters(local: &Local, record: &RunRecord, info: &ComponentInfo, typed: &Retry) -> anyhow::Result<Json> {
    let flow = run::choose_flow(info, Some(&record.asked.flow))?;
    let had = local.store.value(&record.asked.parameters).await?.without(&typed.unset);
    params::read_over(&typed.parameters, flow, Some(&had))
}

/// Finds the code that `--version` names: `latest`, a file, or the beginning of a digest.
async fn other_code(
    args: &Args,
    local: &Local,
    teller: &Teller,
    record: &RunRecord,
    version: &str,
    dry_run: bool,
) -> anyhow::Result<(ContentDigest, ComponentInfo)> {
    if inspect::is_file(version) {
        let bytes = inspect::read(args, version.as_ref())?;
        if !dry_run {
            return run::keep(local, teller, bytes).await;
        }
        let digest = ContentDigest::of(&bytes);
        let inspection = local.sandbox.inspect(bytes).await.map_err(inspect::refused)?;
        local.engine.preview(digest, inspection.info.clone())?;
        return Ok((digest, inspection.info));
    }
    let latest = match version {
        "latest" => retake_server::code::latest(local.store.as_ref(), record).await?,
        _ => None,
    };
    let all = local.store.components().await?;
    let mut found = all.into_iter().filter(|it| match latest {
        Some(latest) => it.digest == latest,
        None => it.digest.to_string().starts_with(version),
    });
    match (found.next(), found.next()) {
        (Some(it), None) => Ok((it.digest, it.info)),
        (Some(_), Some(_)) => Err(Trouble::new(Exit::Usage, format!("`{version}` may be one of several versions"))
            .hint("give more of its digest")
            .into()),
        (None, _) => Err(Trouble::new(Exit::NotFound, format!("no version `{version}` of this component is known"))
            .hint("`--version latest`, `--version FILE.wasm`, or the beginning of a digest")
            .into()),
    }
}

fn with_hint(error: retake_engine::AskError, id: FlowRunId, typed: &Retry) -> anyhow::Error {
    use retake_engine::AskError;
    match &error {
        AskError::NoCall { known, .. } if !known.is_empty() => {
            let known = known.iter().map(|it| format!("`{}`", one_line(it))).collect::<Vec<_>>().join(", ");
            Trouble::new(Exit::NotFound, error.to_string()).hint(format!("it has called {known}")).into()
        }
        AskError::NoCall { .. } => {
            let hint = format!("it has called nothing yet: `retake retry {}` runs all of it", id.friendly_name());
            Trouble::new(Exit::NotFound, error.to_string()).hint(hint).into()
        }
        AskError::NoFlow { .. } if typed.version.is_some() => {
            Trouble::new(Exit::NotFound, error.to_string()).hint("leave `--version` out, or name another one").into()
        }
        _ => run::explain(error),
    }
}

pub(crate) fn write_plan(format: Format, view: &PlanView) {
    out::one(
        format,
        view,
        || view.run.to_string(),
        || {
            let mut lines = vec![format!("run {} would begin attempt {}", view.run.friendly_name(), view.attempt)];
            if view.new_code {
                lines.push(format!(
                    "with the code {} instead of its own: what that does not ask for is not fed back",
                    view.component.short()
                ));
            }
            if view.changed_before {
                lines.push(
                    "it had other code or parameters before: calls that only those made are not made again".into(),
                );
            }
            if view.new_parameters {
                let unless = if view.calls.iter().any(|it| it.keyed) { ", unless it has a key" } else { "" };
                lines.push(format!(
                    "with other parameters: a call that passes them on has another input, and runs again{unless}"
                ));
            }
            if view.calls.is_empty() {
                lines.push("it has called nothing yet: everything runs".into());
            } else {
                let mut table = out::table(&["CALL", "TASK", "PLAN"]);
                for (depth, call) in view.all_calls() {
                    let name = one_line(&call.title);
                    let name = match call.child {
                        Some(child) => format!("{name} ({})", child.friendly_name()),
                        None => name,
                    };
                    let below = "  ".repeat(depth);
                    table.add_row([format!("{below}{}", call.number), format!("{below}{name}"), call.why.clone()]);
                }
                lines.push(format!("\n{table}"));
            }
            lines.join("\n")
        },
    );
}

/// Retries every run that the filter finds, the oldest first, and works on them until they have ended.
async fn several(args: &Args, typed: &Retry) -> anyhow::Result<Exit> {
    let teller = Arc::new(Teller::new(args.quiet));
    if typed.which.is_empty() {
        let message = "no run is named, and no filter given";
        return Err(Trouble::new(Exit::Usage, message).hint("`retake retry RUN`, or `--state failed`").into());
    }
    if typed.until_success {
        return Err(one_at_a_time().into());
    }
    let Some(store) = local::look(args)? else {
        return Ok(none(args, &teller, "no runs match: nothing was ever run with this data directory"));
    };
    let (found, more) = find(store.as_ref(), &typed.which).await?;
    drop(store);
    if more {
        teller.say(&format!("only the newest {MOST} of such runs are looked at: ask again for older ones"));
    }
    if found.is_empty() {
        return Ok(none(args, &teller, "no runs match"));
    }
    let local = local::open(args, Some(teller.clone())).await?;
    if typed.dry_run {
        return would_be(args, &local, &teller, &found, typed).await;
    }
    let (mut retried, mut refused) = (Vec::new(), None);
    for record in &found {
        let id = record.asked.id;
        let one = async {
            let ask = ask(args, &local, &teller, record, typed).await?;
            local.engine.retry(id, RetryAsk { expected_attempt: Some(record.run.attempt), ..ask }).await?;
            anyhow::Ok(())
        };
        match one.await {
            Ok(()) => retried.push(id),
            Err(error) => {
                teller.say(&format!("run {} was not retried: {error}", id.friendly_name()));
                refused.get_or_insert(error);
            }
        }
    }
    teller.say(&format!("{} of {} retried", retried.len(), runs(found.len())));
    if let Some(error) = &refused {
        teller.say(&format!("  hint: {}", out::hint(error)));
    }
    let all = stay_with_each(args, &local, &teller, retried, typed).await?;
    Ok(if refused.is_some() && all != Exit::Interrupted { Exit::Conflict } else { all })
}

/// Who tries one run again and again would leave all others waiting.
pub(crate) fn one_at_a_time() -> Trouble {
    let hint = "name a run, or leave it out and ask again later";
    Trouble::new(Exit::Usage, "`--until-success` is for one run at a time").hint(hint)
}

/// There is nothing to retry. In JSON that is an answer too, and a script reads it.
fn none(args: &Args, teller: &Teller, message: &str) -> Exit {
    teller.say(message);
    if args.output == Format::Json {
        out::list::<RunView>(args.output, &[], |it| it.id.to_string(), || out::table(&[]));
    }
    Exit::Ok
}

/// Works on runs that were retried, one after the other, and writes what came of them. Returns the first exit code
/// that is not 0, or that of an interruption.
async fn stay_with_each(
    args: &Args,
    local: &Local,
    teller: &Teller,
    retried: Vec<FlowRunId>,
    typed: &Retry,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Ok;
    // JSON is one document, so what belongs into it is held until the last has ended. `-o jsonl` holds nothing.
    let mut views = Vec::new();
    for id in retried {
        teller.follow(id);
        teller.say(&format!("run {}", id.friendly_name()));
        let left = stay(args, local, teller, id, typed).await?;
        match args.output {
            Format::Json => views.push(RunView::whole(local.store.as_ref(), &left.record, local.clock.now()).await?),
            _ => run::write_outcome(args, local, &left.record).await?,
        }
        exit = if exit == Exit::Ok || left.exit == Exit::Interrupted { left.exit } else { exit };
        if left.exit == Exit::Interrupted {
            break;
        }
    }
    if args.output == Format::Json {
        out::list(args.output, &views, |it| it.id.to_string(), || out::table(&[]));
    }
    Ok(exit)
}

/// Says which of the runs would be retried, and why the others would not.
async fn would_be(
    args: &Args,
    local: &Local,
    teller: &Teller,
    found: &[RunRecord],
    typed: &Retry,
) -> anyhow::Result<Exit> {
    let (mut retried, mut refused) = (Vec::new(), None);
    for record in found {
        let id = record.asked.id;
        let planned = async {
            let ask = ask(args, local, teller, record, typed).await?;
            local.engine.plan_retry(id, &ask).await?;
            anyhow::Ok(())
        };
        match planned.await {
            Ok(()) => retried.push(record),
            Err(error) => {
                teller.say(&format!("run {} would not be retried: {error}", id.friendly_name()));
                refused.get_or_insert(error);
            }
        }
    }
    teller.say(&format!("{} of {} would be retried", retried.len(), runs(found.len())));
    if let Some(error) = &refused {
        teller.say(&format!("  hint: {}", out::hint(error)));
    }
    match args.output {
        Format::Table => retried.iter().for_each(|it| println!("{}", line(it))),
        _ => {
            let views: Vec<_> = retried.iter().map(|it| RunView::new(it, local.clock.now())).collect();
            out::list(args.output, &views, |it| it.id.to_string(), || out::table(&[]));
        }
    }
    Ok(if refused.is_some() { Exit::Conflict } else { Exit::Ok })
}

fn runs(n: usize) -> String {
    if n == 1 { "1 run".into() } else { format!("{n} runs") }
}

fn line(record: &RunRecord) -> String {
    let id = record.asked.id;
    format!("{} {} of {}", id, id.friendly_name(), one_line(&record.asked.flow))
}

/// Finds what the filter names, the oldest first, and whether there may be more of it.
async fn find(store: &dyn Store, which: &Which) -> anyhow::Result<(Vec<RunRecord>, bool)> {
    let mut filter = which.filter().read(store, MOST).await.map_err(look::unread)?;
    if filter.shown.is_empty() {
        filter.shown = vec![Shown::Failed, Shown::TimedOut, Shown::Crashed, Shown::Parked];
    }
    let mut found = store.list(filter, local::now()).await?;
    let more = found.len() == MOST;
    found.retain(|it| it.run.state.is_terminal() || it.run.state == RunState::Parked);
    found.reverse();
    Ok((found, more))
}
