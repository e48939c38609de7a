//! Runs of a server: what `run`, `watch`, `retry`, `ps`, `show`, `logs` and the rest do when there is one.

use std::time::Duration;

use anstream::println;
use retake_core::replay::CallKind;
use retake_core::time::Timestamp;
use retake_core::trace::TraceParent;
use retake_core::value::Json;
use retake_engine::Observer;
use retake_server::types::{BulkRetry, PolicyAsk, ResultBody, RetryBody, RunAsk, RunsFilter};
use retake_server::wire::{InspectionView, RunView, millis};
use retake_server::{Client, ClientError, Happened};

use crate::act::Act;
use crate::args::{Args, Format, PolicyOverrides, Retry, Run, SetResult, Several, Target, Wait, Watch};
use crate::follow::interrupted;
use crate::out::{self, Exit, Trouble, one_line};
use crate::progress::{Teller, words};
use crate::{inspect, look, params, retry, run};

/// How often to look at a run of which nothing is told.
const LOOK: Duration = Duration::from_secs(2);

/// How long to wait before a server that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long to wait for what a server remembers of a run that has ended.
const REMEMBERED: Duration = Duration::from_millis(300);

/// The trace that the command is a part of, as those say who run commands in traces.
fn trace_parent() -> Option<TraceParent> {
    std::env::var("TRACEPARENT").ok()?.parse().ok()
}

fn policy(typed: &PolicyOverrides, memory_bytes: Option<u64>) -> PolicyAsk {
    PolicyAsk { retries: typed.retries, retry_delay_ms: typed.retry_delay.map(millis), timeout_ms: None, memory_bytes }
}

pub(crate) async fn run(args: &Args, client: &Client, typed: &Run) -> anyhow::Result<Exit> {
    let teller = Teller::new(args.quiet);
    let mut ask = RunAsk {
        at: typed.at.map(|it| Timestamp::from_micros(it.as_microsecond())),
        in_ms: typed.in_.map(millis),
        idempotency_key: typed.key.clone(),
        policy: policy(&typed.policy, typed.memory),
        inject: typed.inject.clone(),
        ..RunAsk::default()
    };
    let info = if inspect::names_file(&typed.target) {
        if client.flows().await?.iter().any(|it| it.flow.name == typed.target) {
            teller.say(&inspect::also_a_flow(&typed.target));
        }
        let bytes = inspect::read(args, typed.target.as_ref())?;
        teller.wait_for_code("uploading, inspecting and compiling", bytes.len());
        let found = client.upload(bytes, false).await?;
        teller.clear();
        ask.component = Some(found.digest.to_string());
        ask.flow = Some(run::choose_flow(&found.info, typed.flow.as_deref())?.name.clone());
        found.info
    } else if let Some((flow, name)) = typed.target.split_once('/') {
        let deployment = client.deployment(flow, name).await?;
        ask.deployment = Some(deployment.full_name);
        client.component(&deployment.component.to_string()).await?.info
    } else {
        let all = client.flows().await?;
        let found = all.iter().find(|it| it.flow.name == typed.target).ok_or_else(|| unknown(&typed.target, &all))?;
        ask.flow = Some(found.flow.name.clone());
        client.component(&found.component.to_string()).await?.info
    };
    let flow = ask.flow.as_deref().or_else(|| typed.target.split_once('/').map(|(flow, _)| flow));
    if !typed.parameters.is_empty() {
        ask.parameters = Some(params::read(&typed.parameters, run::choose_flow(&info, flow)?)?);
    }
    let (view, made) = client.start(&ask, trace_parent()).await?;
    match made {
        true => teller.say(&format!("run {} of {}", view.name, one_line(&view.flow))),
        false => teller.say(&format!("run {} was made before under this key", view.name)),
    }
    stay_if_asked(args, client, &teller, view, None, &typed.wait).await
}

fn unknown(name: &str, flows: &[retake_server::types::FlowView]) -> Trouble {
    if std::path::Path::new(name).is_dir() {
        return inspect::unknown(name);
    }
    let names: Vec<String> = flows.iter().map(|it| format!("`{}`", it.flow.name)).collect();
    let hint = match names.is_empty() {
        true => "no flow is known yet: `retake deploy FILE.wasm -n NAME`".to_owned(),
        false => format!("known flows: {}", names.join(", ")),
    };
    Trouble::new(Exit::NotFound, format!("there is no file and no flow called `{name}`")).hint(hint)
}

/// Stays with a run where that was asked for; otherwise says how to.
async fn stay_if_asked(
    args: &Args,
    client: &Client,
    teller: &Teller,
    view: RunView,
    after: Option<String>,
    wait: &Wait,
) -> anyhow::Result<Exit> {
    if wait.wait || wait.timeout.is_some() {
        let (view, exit) = stay(args, client, teller, &view, after, wait.timeout).await?;
        write_outcome(args, &view);
        return Ok(exit);
    }
    if args.output == Format::Table {
        // The run was made a moment ago, and may not have been looked at yet.
        if matches!(view.state.as_str(), "Scheduled" | "Late")
            && let Some(waits) = &client.run(&view.id.to_string()).await?.waits_for
        {
            teller.say(&format!("it waits: {}", out::plain(waits)));
        }
        teller.say(&format!("  hint: retake watch {}", view.name));
    } else {
        write_outcome(args, &view);
    }
    Ok(Exit::Ok)
}

/// Follows a run until it has ended or waits for a person, and says in words how.
async fn stay(
    args: &Args,
    client: &Client,
    teller: &Teller,
    view: &RunView,
    after: Option<String>,
    limit: Option<Duration>,
) -> anyhow::Result<(RunView, Exit)> {
    let id = view.id.to_string();
    teller.follow(view.id);
    let mut live = client.live(&id, after).await?;
    let mut view = client.run(&id).await?;
    let ends = limit.map(|it| tokio::time::Instant::now() + it);
    let (mut told_of_end, mut gone) = (false, false);
    let mut waits = None;
    let exit = loop {
        if view.waits_for != waits {
            waits.clone_from(&view.waits_for);
            if let Some(waits) = &waits {
                teller.say(&format!("it waits: {}", out::plain(waits)));
            }
        }
        match view.state.as_str() {
            "Completed" => break Exit::Ok,
            "Failed" | "TimedOut" | "Crashed" | "Cancelled" | "Parked" => break Exit::Failed,
            "Paused" => {
                teller.say(&format!("run {} is Paused\n  hint: retake resume {}", view.name, view.name));
                break Exit::WaitEnded;
            }
            _ => {}
        }
        let over = async {
            match ends {
                Some(ends) => tokio::time::sleep_until(ends).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = live.next() => match told {
                Err(error @ ClientError::Unreachable { .. }) => {
                    if !gone {
                        teller.say(&format!("{error}; trying again, Ctrl-C leaves it"));
                    }
                    gone = true;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error.into()),
                Ok(Some(event)) => {
                    let ended = event.run == view.id && matches!(event.happened, Happened::AttemptEnded { .. });
                    let is_end = event.run == view.id && event.happened.is_end();
                    teller.progress(event.run, event.happened.into());
                    told_of_end = is_end;
                    gone = false;
                    if ended {
                        view = look(client, view).await?;
                    }
                }
                Ok(None) => view = look(client, view).await?,
            },
            () = tokio::time::sleep(LOOK) => view = look(client, view).await?,
            () = over => {
                teller.say(&format!("run {} goes on: the wait is over\n  hint: retake watch {}", view.name, view.name));
                break Exit::WaitEnded;
            }
            () = interrupted() => {
                teller.say(&format!("run {} goes on\n  hint: retake watch {}", view.name, view.name));
                break Exit::Interrupted;
            }
        }
    };
    // It may have ended before we listened: what led there is told all the same.
    while matches!(exit, Exit::Ok | Exit::Failed) && !told_of_end {
        let Ok(told) = tokio::time::timeout(REMEMBERED, live.next()).await else { break };
        let Some(event) = told? else { break };
        told_of_end = event.run == view.id && event.happened.is_end();
        teller.progress(event.run, event.happened.into());
    }
    teller.clear();
    if exit == Exit::Failed {
        let kept = view.tasks.iter().flatten().filter(|it| it.kind != CallKind::Sleep && it.result.is_some()).count();
        let kept = match kept {
            0 => String::new(),
            1 => ": 1 task result is kept".to_owned(),
            n => format!(": {n} task results are kept"),
        };
        let why = view.failure.as_ref().map(|it| format!(" ({})", words(it))).unwrap_or_default();
        let (name, shown) = (&view.name, view.state.to_lowercase());
        match args.quiet {
            true => anstream::eprintln!("error: run {name} {shown}{why}\nhint: retake retry {name}"),
            false => teller.say(&format!("run {name} {shown}{why}{kept}\n  hint: retake retry {name}")),
        }
    }
    Ok((view, exit))
}

/// Looks at a run again. A server that does not answer may be starting again: the run is as it was until it does.
async fn look(client: &Client, view: RunView) -> anyhow::Result<RunView> {
    match client.run(&view.id.to_string()).await {
        Err(ClientError::Unreachable { .. }) => Ok(view),
        answer => Ok(answer?),
    }
}

fn write_outcome(args: &Args, view: &RunView) {
    match args.output {
        Format::Table => {
            if let Some(result) = &view.result {
                println!("{}", out::plain(&result.pretty()));
            }
        }
        Format::Id => println!("{}", view.id),
        format => out::one(format, view, String::new, String::new),
    }
}

pub(crate) async fn watch(args: &Args, client: &Client, typed: &Watch) -> anyhow::Result<Exit> {
    let teller = Teller::new(args.quiet);
    let view = client.run(&typed.run).await?;
    teller.say(&format!("run {}", view.name));
    let (view, exit) = stay(args, client, &teller, &view, None, typed.wait.timeout).await?;
    write_outcome(args, &view);
    Ok(exit)
}

pub(crate) async fn retry(args: &Args, client: &Client, typed: &Retry) -> anyhow::Result<Exit> {
    let teller = Teller::new(args.quiet);
    let Some(text) = &typed.run else { return several(args, client, typed).await };
    let mut body = RetryBody {
        from: typed.from.clone(),
        rerun: typed.rerun.clone(),
        all: typed.all,
        version: typed.version.clone(),
        parameters: None,
        unset: typed.unset.clone(),
        expected_attempt: typed.expected_attempt,
        dry_run: typed.dry_run,
        policy: policy(&typed.policy, typed.memory),
    };
    let mut view = client.run(text).await?;
    let file = uploaded(args, client, typed).await?;
    body.version = file.as_ref().map(|it| it.digest.to_string()).or(body.version);
    body.parameters = changed_parameters(client, typed, &view, file.as_ref()).await?;
    let retried = client.retry(&view.id.to_string(), &body).await?;
    if typed.dry_run {
        retry::write_plan(args.output, &retried.plan);
        return Ok(Exit::Ok);
    }
    teller.say(&format!("run {} again: {}", view.name, retried.plan.summary()));
    if !typed.until_success {
        return stay_if_asked(args, client, &teller, retried.run, Some(retried.last_event), &typed.wait).await;
    }
    let began = tokio::time::Instant::now();
    let left = || typed.wait.timeout.map(|it| it.saturating_sub(began.elapsed()));
    let mut after = Some(retried.last_event);
    let mut pause = Duration::from_secs(1);
    loop {
        let exit;
        (view, exit) = stay(args, client, &teller, &view, after, left()).await?;
        // Who cancelled it wants no more of it.
        if exit != Exit::Failed || view.state == "Cancelled" {
            write_outcome(args, &view);
            return Ok(exit);
        }
        if left().is_some_and(|it| it <= pause) {
            teller.say("not again: the wait is over before that");
            write_outcome(args, &view);
            return Ok(Exit::WaitEnded);
        }
        teller.say(&format!("again in {}; Ctrl-C leaves it", out::took(pause)));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = interrupted() => return Ok(Exit::Interrupted),
        }
        pause = (pause * 2).min(Duration::from_secs(60));
        // What was to be forgotten is forgotten.
        let expected_attempt = Some(view.attempt);
        let again = RetryBody { policy: body.policy, expected_attempt, ..RetryBody::default() };
        let retried = client.retry(&view.id.to_string(), &again).await?;
        (view, after) = (retried.run, Some(retried.last_event));
    }
}

/// Uploads the file that `--version` names, if it does; for a dry run it is only looked at.
async fn uploaded(args: &Args, client: &Client, typed: &Retry) -> anyhow::Result<Option<InspectionView>> {
    let Some(file) = typed.version.as_deref().filter(|it| inspect::names_file(it)) else { return Ok(None) };
    Ok(Some(client.upload(inspect::read(args, file.as_ref())?, typed.dry_run).await?))
}

/// Reads the parameters that change, each as the schema of the code says that will run.
async fn changed_parameters(
    client: &Client,
    typed: &Retry,
    view: &RunView,
    file: Option<&InspectionView>,
) -> anyhow::Result<Option<Json>> {
    if typed.parameters.is_empty() {
        return Ok(None);
    }
    let info = match (file, typed.version.as_deref()) {
        (Some(file), _) => file.info.clone(),
        (None, Some("latest")) => {
            if let Some((flow, name)) = view.deployment.as_deref().and_then(|it| it.split_once('/')) {
                let deployed = client.deployment(flow, name).await?.component;
                let info = client.component(&deployed.to_string()).await?.info;
                return params::read(&typed.parameters, run::choose_flow(&info, Some(&view.flow))?).map(Some);
            }
            let own = client.component(&view.component.to_string()).await?;
            let all = client.components().await?;
            all.into_iter().find(|it| own.info.name == it.info.name).map_or(own.info, |it| it.info)
        }
        (None, Some(digest)) => client.component(digest).await?.info,
        (None, None) => client.component(&view.component.to_string()).await?.info,
    };
    params::read(&typed.parameters, run::choose_flow(&info, Some(&view.flow))?).map(Some)
}

/// Retries every run that the filter finds.
async fn several(args: &Args, client: &Client, typed: &Retry) -> anyhow::Result<Exit> {
    if typed.which.is_empty() {
        let message = "no run is named, and no filter given";
        return Err(Trouble::new(Exit::Usage, message).hint("`retake retry RUN`, or `--state failed`").into());
    }
    let which = &typed.which;
    let mut body = BulkRetry {
        runs: Vec::new(),
        filter: which.filter(),
        from: typed.from.clone(),
        rerun: typed.rerun.clone(),
        all: typed.all,
        version: typed.version.clone(),
        parameters: None,
        policy: policy(&typed.policy, typed.memory),
        dry_run: typed.dry_run,
    };
    if typed.until_success {
        return Err(retry::one_at_a_time().into());
    }
    let file = uploaded(args, client, typed).await?;
    body.version = file.as_ref().map(|it| it.digest.to_string()).or(body.version);
    if !typed.parameters.is_empty() {
        // Their types are those of the flow, which is one: others would be given what is meant for it.
        let Some(flow) = &which.flow else {
            let message = "parameters are of one flow, and none is named";
            return Err(Trouble::new(Exit::Usage, message).hint("name it beside them: `--flow NAME`").into());
        };
        let filter = RunsFilter { flow: Some(flow.clone()), limit: Some(1), ..RunsFilter::default() };
        if let Some(newest) = client.runs(&filter).await?.items.first() {
            body.parameters = changed_parameters(client, typed, newest, file.as_ref()).await?;
        }
    }
    let mut done = client.bulk_retry(&body).await?;
    let mut worst = if done.refused.is_empty() { Exit::Ok } else { Exit::Conflict };
    if done.applied && typed.wait.wait {
        let teller = Teller::new(args.quiet);
        for view in &mut done.runs {
            teller.say(&format!("run {}", view.name));
            let (ended, exit) = stay(args, client, &teller, view, done.last_event.clone(), typed.wait.timeout).await?;
            *view = ended;
            if exit == Exit::Interrupted {
                return Ok(exit);
            }
            worst = if worst == Exit::Ok { exit } else { worst };
        }
    }
    if args.output == Format::Table && done.runs.is_empty() && done.refused.is_empty() {
        println!("no runs match");
        return Ok(Exit::Ok);
    }
    out::list(args.output, &done.runs, |it| it.id.to_string(), || look::ps_table(&done.runs));
    for it in &done.refused {
        anstream::eprintln!("run {} was left as it is: {}", it.run.friendly_name(), out::plain(&it.error.message));
    }
    if !args.quiet {
        let runs = if done.runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", done.runs.len()) };
        anstream::eprintln!("{runs} {}", if done.applied { "retried" } else { "would be retried" });
    }
    if done.more {
        anstream::eprintln!("more runs match, older ones: ask again for the next {}", done.runs.len());
    }
    Ok(worst)
}

pub(crate) async fn ps(client: &Client, mut filter: RunsFilter, most: usize) -> anyhow::Result<Vec<RunView>> {
    let mut views = Vec::new();
    loop {
        filter.limit = Some((most - views.len()).min(200));
        let page = client.runs(&filter).await?;
        views.extend(page.items);
        filter.before = page.next;
        if filter.before.is_none() || views.len() >= most {
            return Ok(views);
        }
    }
}

pub(crate) async fn explain(args: &Args, client: &Client, typed: &Target) -> anyhow::Result<Exit> {
    let told = client.explain(&typed.run).await?;
    let sentences = || format!("{}\n  hint: {}", out::in_zone(&told.explained.join("\n")), told.hint);
    out::one(args.output, &told, || told.run.to_string(), sentences);
    Ok(Exit::Ok)
}

/// Does the same to each run that was named. All names are looked up before anything is done.
pub(crate) async fn act(args: &Args, client: &Client, typed: &Several, act: Act) -> anyhow::Result<Exit> {
    let mut ids = Vec::new();
    for text in &typed.runs {
        ids.push(client.run(text).await?.id);
    }
    let action = match act {
        Act::Cancel => "cancel",
        Act::Pause => "pause",
        Act::Resume => "resume",
        Act::RunNow => "run-now",
    };
    let (mut refused, mut done_to) = (None, Vec::new());
    for id in ids {
        match client.act(&id.to_string(), action).await {
            Ok(view) => {
                if args.output == Format::Table {
                    println!("run {} is {}", view.name, view.state);
                }
                if matches!(act, Act::Resume | Act::RunNow) && !args.quiet {
                    anstream::eprintln!("  hint: retake watch {}", view.name);
                }
                done_to.push(view);
            }
            Err(error) if typed.runs.len() > 1 => {
                if !args.quiet {
                    anstream::eprintln!("run {} was left as it is: {error}", id.friendly_name());
                }
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if args.output != Format::Table {
        let views: Vec<_> = done_to.iter().map(|it| serde_json::json!({ "run": it.id, "state": it.state })).collect();
        out::list(args.output, &views, |it| it["run"].as_str().unwrap_or_default().to_owned(), || out::table(&[]));
    }
    match refused {
        Some(error) => Err(error.into()),
        None => Ok(Exit::Ok),
    }
}

pub(crate) async fn set_result(args: &Args, client: &Client, typed: &SetResult, result: Json) -> anyhow::Result<Exit> {
    let view = client.run(&typed.run).await?;
    let calls = view.tasks.iter().flatten().map(|it| crate::act::Callable {
        number: it.number,
        kind: it.kind,
        name: &it.task,
        label: it.label.as_deref(),
    });
    let number = crate::act::number_of(&calls.collect::<Vec<_>>(), &typed.task)?;
    client.set_result(&view.id.to_string(), number, &ResultBody { result }).await?;
    if !args.quiet {
        anstream::eprintln!("call {number} of run {} has its result, set by hand", view.name);
        anstream::eprintln!("  hint: retake retry {} --dry-run", view.name);
    }
    Ok(Exit::Ok)
}
