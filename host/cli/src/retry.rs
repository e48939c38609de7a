//! `retry`: the plan, one run, or all that a filter finds.

use std::sync::Arc;
use std::time::Duration;

use anstream::println;
use retake_core::component::ComponentInfo;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::replay::{Again, CallKind};
use retake_core::run::{RunState, Shown};
use retake_core::task::Overrides;
use retake_core::value::Json;
use retake_engine::{Fate, Plan, PlannedCall, RetryAsk, Why};
use retake_store::{RunFilter, RunRecord, Store};
use serde::Serialize;

use crate::args::{Args, Format, Retry, Which};
use crate::local::{self, Local};
use crate::out::{self, Exit, Trouble, one_line};
use crate::progress::Teller;
use crate::{inspect, look, params, run};

/// Most runs that one command retries.
const MOST: usize = 10_000;
/// First and longest wait between two retries of `--until-success`.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

pub(crate) async fn retry(args: &Args, typed: &Retry) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let Some(text) = &typed.run else { return several(args, typed).await };
    let teller = Arc::new(Teller::new(args.quiet));
    // Looked up first, so that a typo does not have to wait for anything.
    let store = local::look(args)?.ok_or_else(|| local::nothing_kept(text))?;
    let id = local::find(store.as_ref(), text).await?;
    drop(store);
    let local = local::open(args, Some(teller.clone())).await?;
    let record = local.store.run(id).await?;
    let ask = ask(&local, &teller, &record, typed).await?;
    let plan = local.engine.plan_retry(id, &ask).await;
    let plan = plan.map_err(|error| with_hint(error, id, typed))?;
    if typed.dry_run {
        write_plan(args.output, id, &plan);
        return Ok(Exit::Ok);
    }
    local.engine.retry(id, ask).await?;
    teller.follow(id);
    teller.say(&format!("run {} again: {}", id.friendly_name(), summary(&plan)));
    stay(args, &local, &teller, id, typed).await
}

/// Works on a run that was retried; again and again, if that was asked for.
async fn stay(args: &Args, local: &Local, teller: &Teller, id: FlowRunId, typed: &Retry) -> anyhow::Result<Exit> {
    let mut exit = run::stay(args, local, teller, id, &typed.wait).await?;
    let mut wait = AGAIN_FIRST;
    while typed.until_success && exit == Exit::Failed {
        teller.say(&format!("again in {}; Ctrl-C leaves it", out::took(wait)));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = crate::follow::interrupted() => return Ok(Exit::Interrupted),
        }
        wait = (wait * 2).min(AGAIN_MAX);
        // What was asked for expressly was asked for once.
        local.engine.retry(id, RetryAsk::default()).await?;
        exit = run::stay(args, local, teller, id, &typed.wait).await?;
    }
    Ok(exit)
}

/// What was typed, for one run.
async fn ask(local: &Local, teller: &Teller, record: &RunRecord, typed: &Retry) -> anyhow::Result<RetryAsk> {
    let other = match &typed.version {
        Some(version) => Some(other_code(local, teller, record, version, typed.dry_run).await?),
        None => None,
    };
    let parameters = match (typed.parameters.is_empty(), &other) {
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
        overrides: Overrides { memory_bytes: typed.memory, ..run::overrides(&typed.policy) },
    })
}

/// Lays what was typed over the parameters that the run had.
async fn parameters(local: &Local, record: &RunRecord, info: &ComponentInfo, typed: &Retry) -> anyhow::Result<Json> {
    let flow = run::choose_flow(info, Some(&record.asked.flow))?;
    let had = local.store.value(&record.asked.parameters).await?;
    params::read_over(&typed.parameters, flow, Some(&had))
}

/// Finds the code that `--version` names: `latest`, a file, or the beginning of a digest.
async fn other_code(
    local: &Local,
    teller: &Teller,
    record: &RunRecord,
    version: &str,
    dry_run: bool,
) -> anyhow::Result<(ContentDigest, ComponentInfo)> {
    if inspect::is_file(version) {
        let bytes = inspect::read(version.as_ref())?;
        if !dry_run {
            return run::keep(local, teller, bytes).await;
        }
        let digest = ContentDigest::of(&bytes);
        let inspection = local.sandbox.inspect(bytes).await.map_err(inspect::refused)?;
        local.engine.preview(digest, inspection.info.clone())?;
        return Ok((digest, inspection.info));
    }
    let all = local.store.components().await?;
    let name = all.iter().find(|it| it.digest == record.asked.component).map(|it| it.info.name.clone());
    let mut found = all.into_iter().filter(|it| match version {
        "latest" => Some(&it.info.name) == name.as_ref(),
        digest => it.digest.to_string().starts_with(digest),
    });
    match (found.next(), found.next()) {
        (Some(it), None) => Ok((it.digest, it.info)),
        (Some(it), Some(_)) if version == "latest" => Ok((it.digest, it.info)),
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

/// A line that says what is fed back.
fn summary(plan: &Plan) -> String {
    let fed = plan.calls.iter().filter(|it| matches!(it.fate, Fate::FedBack { .. })).count();
    match (fed, plan.calls.is_empty()) {
        (0, true) => "nothing was kept, everything runs again".to_owned(),
        (0, false) => "everything runs again".to_owned(),
        (n, _) if plan.new_parameters => format!("{n} task results are kept, and fed back where the input is the same"),
        (1, _) => "1 task result is fed back".to_owned(),
        (n, _) => format!("{n} task results are fed back"),
    }
}

/// A plan as people and scripts see it.
#[derive(Serialize)]
struct PlanView<'a> {
    run: FlowRunId,
    attempt: u32,
    component: ContentDigest,
    new_code: bool,
    new_parameters: bool,
    calls: Vec<CallView<'a>>,
}

#[derive(Serialize)]
struct CallView<'a> {
    number: u32,
    kind: CallKind,
    task: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    /// `fed-back`, `runs-again` or `gone`.
    fate: &'static str,
    why: String,
}

impl<'a> CallView<'a> {
    fn new(call: &'a PlannedCall, new_parameters: bool) -> Self {
        let fate = match call.fate {
            Fate::FedBack { .. } => "fed-back",
            Fate::RunsAgain(_) => "runs-again",
            Fate::Gone => "gone",
        };
        let (number, kind, task, label) = (call.number, call.kind, call.name.as_str(), call.label.as_deref());
        Self { number, kind, task, label, fate, why: words(&call.fate, new_parameters) }
    }
}

fn words(fate: &Fate, new_parameters: bool) -> String {
    match fate {
        Fate::FedBack { from_attempt } if new_parameters => {
            format!("fed back from attempt {from_attempt}, if its input is still the same")
        }
        Fate::FedBack { from_attempt } => format!("fed back from attempt {from_attempt}"),
        Fate::RunsAgain(Why::Kept(Again::Failed)) => "runs again: failed".into(),
        Fate::RunsAgain(Why::Kept(Again::Cancelled)) => "runs again: was cancelled".into(),
        Fate::RunsAgain(Why::Kept(Again::NotKept)) => "runs again: not kept".into(),
        Fate::RunsAgain(Why::Kept(Again::Asked)) => "runs again: asked for".into(),
        Fate::RunsAgain(Why::OtherInput) => "runs again: input will not match".into(),
        Fate::RunsAgain(Why::NewVersion { was, is }) => format!("runs again: version {is}, was {was}"),
        Fate::Gone => "not called: the new code has none of that name".into(),
    }
}

fn write_plan(format: Format, id: FlowRunId, plan: &Plan) {
    let view = PlanView {
        run: id,
        attempt: plan.attempt,
        component: plan.component,
        new_code: plan.new_code,
        new_parameters: plan.new_parameters,
        calls: plan.calls.iter().map(|it| CallView::new(it, plan.new_parameters)).collect(),
    };
    out::one(
        format,
        &view,
        || id.to_string(),
        || {
            let mut lines = vec![format!("run {} would begin attempt {}", id.friendly_name(), plan.attempt)];
            if plan.new_code {
                lines.push(format!("with the code {} instead of its own", plan.component.short()));
            }
            if plan.new_parameters {
                lines
                    .push("with other parameters: a call that passes them on has another input, and runs again".into());
            }
            if plan.calls.is_empty() {
                lines.push("it has called nothing yet: everything runs".into());
            } else {
                let mut table = out::table(&["CALL", "TASK", "PLAN"]);
                for call in &view.calls {
                    table.add_row([
                        call.number.to_string(),
                        one_line(call.label.unwrap_or(call.task)),
                        call.why.clone(),
                    ]);
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
    let Some(store) = local::look(args)? else {
        teller.say("no runs match: nothing was ever run with this data directory");
        return Ok(Exit::Ok);
    };
    let found = find(store.as_ref(), &typed.which).await?;
    drop(store);
    if found.is_empty() {
        teller.say("no runs match");
        return Ok(Exit::Ok);
    }
    let local = local::open(args, Some(teller.clone())).await?;
    if typed.dry_run {
        return would_be(args, &local, &teller, &found, typed).await;
    }
    let mut retried = Vec::new();
    for record in &found {
        let id = record.asked.id;
        let one = async {
            let ask = ask(&local, &teller, record, typed).await?;
            local.engine.retry(id, RetryAsk { expected_attempt: Some(record.run.attempt), ..ask }).await?;
            anyhow::Ok(())
        };
        match one.await {
            Ok(()) => retried.push(id),
            Err(error) => teller.say(&format!("run {} was not retried: {error}", id.friendly_name())),
        }
    }
    teller.say(&format!("{} of {} retried", retried.len(), runs(found.len())));
    let mut exit = if retried.len() < found.len() { Exit::Conflict } else { Exit::Ok };
    for id in retried {
        teller.follow(id);
        let one = stay(args, &local, &teller, id, typed).await?;
        if one == Exit::Interrupted {
            return Ok(one);
        }
        exit = if exit == Exit::Ok { one } else { exit };
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
    let mut retried = Vec::new();
    for record in found {
        let id = record.asked.id;
        let planned = async {
            let ask = ask(local, teller, record, typed).await?;
            local.engine.plan_retry(id, &ask).await?;
            anyhow::Ok(())
        };
        match planned.await {
            Ok(()) => retried.push(record),
            Err(error) => teller.say(&format!("run {} would not be retried: {error}", id.friendly_name())),
        }
    }
    teller.say(&format!("{} of {} would be retried", retried.len(), runs(found.len())));
    match args.output {
        Format::Table => retried.iter().for_each(|it| println!("{}", line(it))),
        _ => {
            let view = |it: &&RunRecord| {
                let id = it.asked.id;
                serde_json::json!({ "run": id, "name": id.friendly_name(), "flow": it.asked.flow })
            };
            let views: Vec<_> = retried.iter().map(view).collect();
            out::list(args.output, &views, |it| it["run"].as_str().unwrap_or_default().to_owned(), || out::table(&[]));
        }
    }
    Ok(if retried.len() < found.len() { Exit::Conflict } else { Exit::Ok })
}

fn runs(n: usize) -> String {
    if n == 1 { "1 run".into() } else { format!("{n} runs") }
}

fn line(record: &RunRecord) -> String {
    let id = record.asked.id;
    format!("{} {} of {}", id, id.friendly_name(), one_line(&record.asked.flow))
}

/// Finds what `--state`, `--flow`, `--since` and `--code` name, the oldest first.
async fn find(store: &dyn Store, which: &Which) -> anyhow::Result<Vec<RunRecord>> {
    let now = local::now();
    let mut shown = which.state.iter().map(|it| look::state(it)).collect::<Result<Vec<_>, _>>()?;
    if shown.is_empty() {
        shown = vec![Shown::Failed, Shown::TimedOut, Shown::Crashed, Shown::Parked];
    }
    let filter = RunFilter {
        flow: which.flow.clone(),
        shown,
        since: which.since.map(|it| look::ago(now, it)),
        roots_only: true,
        limit: MOST,
        ..RunFilter::default()
    };
    let mut found = store.list(filter, now).await?;
    found.retain(|it| match &which.code {
        Some(pattern) => it.failure.as_ref().is_some_and(|failure| fits(&failure.code, pattern)),
        None => true,
    });
    found.retain(|it| it.run.state.is_terminal() || it.run.state == RunState::Parked);
    found.reverse();
    Ok(found)
}

/// Whether a code is the one that was typed, or begins as `http.*` says.
fn fits(code: &str, pattern: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(prefix) => code.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        None => code == pattern,
    }
}
