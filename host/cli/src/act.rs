//! `cancel`, `pause`, `resume`, `run-now` and `task set-result`: what people do to a run besides retrying it.

use anstream::println;
use retake_core::limits;
use retake_core::replay::CallKind;
use retake_core::value::Json;
use retake_server::Client;
use retake_server::types::{BulkCancel, BulkDone, BulkRemove, RunsFilter};

use crate::args::{Args, Chosen, Format, SetResult, Several};
use crate::local;
use crate::out::{self, Exit, Trouble, one_line};
use crate::{look, params, remote, run, server};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Cancel,
    Pause,
    Resume,
    RunNow,
}

/// Does the same to each run that was named. All names are looked up before anything is done.
pub(crate) async fn several(args: &Args, typed: &Several, act: Act) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    if let Some(client) = server::found(args)? {
        return remote::act(args, &client, typed, act).await;
    }
    let store = local::look(args)?.ok_or_else(|| local::nothing_kept(&typed.runs[0]))?;
    let mut ids = Vec::new();
    for text in &typed.runs {
        ids.push(local::find(store.as_ref(), text).await?);
    }
    drop(store);
    let local = local::open(args, None).await?;
    let (mut refused, mut done_to) = (Vec::new(), Vec::new());
    for id in ids {
        let done = match act {
            Act::Cancel => local.engine.cancel(id).await,
            Act::Pause => local.engine.pause(id).await,
            Act::Resume => local.engine.resume(id).await,
            Act::RunNow => local.engine.run_now(id).await,
        };
        let run = match done {
            Ok(run) => run,
            Err(error) if typed.runs.len() > 1 => {
                if !args.quiet {
                    anstream::eprintln!("run {} was left as it is: {error}", id.friendly_name());
                }
                refused.push(error);
                continue;
            }
            Err(error) => return Err(local.told(error)),
        };
        let shown = run.shown(local.clock.now());
        match args.output {
            Format::Table => println!("run {} is {shown}", id.friendly_name()),
            _ => done_to.push((id, shown)),
        }
        if matches!(act, Act::Resume | Act::RunNow) && !args.quiet {
            anstream::eprintln!("  hint: retake watch {}", id.friendly_name());
        }
    }
    if args.output != Format::Table {
        let views: Vec<_> =
            done_to.iter().map(|(id, shown)| serde_json::json!({ "run": id, "state": shown })).collect();
        out::list(args.output, &views, |it| it["run"].as_str().unwrap_or_default().to_owned(), || out::table(&[]));
    }
    match refused.into_iter().next() {
        Some(error) => Err(local.told(error)),
        None => Ok(Exit::Ok),
    }
}

/// Cancels the runs that were named, or all that a filter finds.
pub(crate) async fn cancel(args: &Args, typed: &Chosen) -> anyhow::Result<Exit> {
    if typed.which.is_empty() && !typed.dry_run && !typed.runs.is_empty() {
        return several(args, &Several { runs: typed.runs.clone() }, Act::Cancel).await;
    }
    let (runs, filter) = chosen(typed)?;
    let done = async |client: &Client| {
        let body = BulkCancel { filter, runs, dry_run: typed.dry_run };
        Ok(told(args, client.bulk_cancel(&body).await?, "cancelled"))
    };
    server::with_client(args, done).await
}

/// Removes the runs that were named, or all that a filter finds.
pub(crate) async fn remove(args: &Args, typed: &Chosen) -> anyhow::Result<Exit> {
    let (runs, filter) = chosen(typed)?;
    server::with_client(args, async |client| {
        if let ([run], false) = (runs.as_slice(), typed.dry_run) {
            let run = client.run(run).await?;
            client.remove_run(&run.id.to_string()).await?;
            out::done(args.output, "removed", &run.id.to_string(), &format!("run {} is removed", run.name));
            return Ok(Exit::Ok);
        }
        let body = BulkRemove { filter, runs, dry_run: typed.dry_run };
        Ok(told(args, client.bulk_remove(&body).await?, "removed"))
    })
    .await
}

fn chosen(typed: &Chosen) -> anyhow::Result<(Vec<String>, RunsFilter)> {
    if typed.runs.is_empty() && typed.which.is_empty() {
        let message = "no run is named, and no filter given";
        return Err(Trouble::new(Exit::Usage, message)
            .hint("name a run, or say which: `--deployment FLOW/NAME`")
            .into());
    }
    Ok((typed.runs.clone(), typed.which.filter()))
}

/// Says what was done to several runs.
fn told(args: &Args, done: BulkDone, what: &str) -> Exit {
    if args.output == Format::Table && done.runs.is_empty() && done.refused.is_empty() {
        println!("no runs match");
        return Exit::Ok;
    }
    out::list(args.output, &done.runs, |it| it.id.to_string(), || look::ps_table(&done.runs));
    for it in &done.refused {
        anstream::eprintln!("run {} was left as it is: {}", it.run.friendly_name(), out::plain(&it.error.message));
    }
    if !args.quiet {
        let runs = if done.runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", done.runs.len()) };
        anstream::eprintln!("{runs} {}{what}", if done.applied { "" } else { "would be " });
    }
    if done.more {
        anstream::eprintln!("more runs match, older ones: ask again for the next {}", done.runs.len());
    }
    if done.refused.is_empty() { Exit::Ok } else { Exit::Conflict }
}

pub(crate) async fn set_result(args: &Args, typed: &SetResult) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let text = params::text(&typed.json)?;
    let result = Json::parse(text, limits::VALUE_BYTES).map_err(|error| {
        Trouble::new(Exit::Usage, format!("`--json` is no result: {error}"))
            .hint("a text is written in quotes of its own: `--json '\"done\"'`")
    })?;
    if let Some(client) = server::found(args)? {
        return remote::set_result(args, &client, typed, result).await;
    }
    let store = local::look(args)?.ok_or_else(|| local::nothing_kept(&typed.run))?;
    let id = local::find(store.as_ref(), &typed.run).await?;
    let tasks = store.task_runs(id).await?;
    let calls = tasks.iter().map(|it| Callable {
        number: it.number,
        kind: it.identity.kind,
        name: &it.identity.name,
        label: it.label.as_deref(),
    });
    let number = number_of(&calls.collect::<Vec<_>>(), &typed.task)?;
    drop(store);
    let local = local::open(args, None).await?;
    local.engine.set_result(id, number, result).await.map_err(|it| local.told(run::explain(it)))?;
    let name = id.friendly_name();
    if !args.quiet {
        anstream::eprintln!("call {number} of run {name} has its result, set by hand");
        anstream::eprintln!("  hint: retake retry {name} --dry-run");
    }
    Ok(Exit::Ok)
}

/// A call as people name it.
pub(crate) struct Callable<'a> {
    pub(crate) number: u32,
    pub(crate) kind: CallKind,
    pub(crate) name: &'a str,
    pub(crate) label: Option<&'a str>,
}

/// Finds the one call that a person means by a name, a label or a number.
pub(crate) fn number_of(all: &[Callable<'_>], text: &str) -> anyhow::Result<u32> {
    let calls = || all.iter().filter(|it| it.kind != CallKind::Sleep);
    let fits = |it: &&Callable<'_>| it.name == text || it.label == Some(text) || it.number.to_string() == text;
    let found: Vec<_> = calls().filter(fits).collect();
    match found.as_slice() {
        [only] => Ok(only.number),
        [] => {
            let known: Vec<String> = calls().map(|it| format!("`{}`", one_line(it.name))).collect();
            let hint = match known.is_empty() {
                true => "it has called nothing yet".to_owned(),
                false => format!("it has called {}", known.join(", ")),
            };
            let slept = all.iter().any(|it| it.kind == CallKind::Sleep && fits(&it));
            let message = match slept {
                true => format!("`{text}` is a sleep, which has no result to set"),
                false => format!("the run has made no call of `{text}`"),
            };
            Err(Trouble::new(Exit::NotFound, message).hint(hint).into())
        }
        several => {
            let numbers: Vec<String> = several.iter().map(|it| it.number.to_string()).collect();
            let message = format!("`{text}` was called {} times", several.len());
            let hint = format!("name one call by its number: {}", numbers.join(", "));
            Err(Trouble::new(Exit::Usage, message).hint(hint).into())
        }
    }
}
