//! `ps`, `show`, `logs` and `version`: what only looks.

use std::time::Duration;

use anstream::println;
use retake_core::run::Shown;
use retake_core::task::Level;
use retake_core::time::{Clock, Timestamp};
use retake_store::RunFilter;

use crate::args::{Args, Format, Logs, Ps, Target};
use crate::local::{self, SystemClock};
use crate::out::{self, Exit, Trouble, bytes, instant, one_line, took};
use crate::progress::{due_words, words};
use crate::{remote, server};
use retake_server::wire::{LineView, RunView, TaskView};

/// Log lines read at once.
const PAGE: usize = 1000;

pub(crate) fn version(format: Format) -> anyhow::Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    let view = serde_json::json!({ "version": version, "contract": ["retake:flow@0.1.0"] });
    out::one(format, &view, || version.to_owned(), || format!("retake {version} (contract retake:flow@0.1.0)"));
    Ok(Exit::Ok)
}

pub(crate) async fn ps(args: &Args, typed: &Ps) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let client = server::found(args)?;
    if typed.tag.is_some() && client.is_none() {
        let trouble = Trouble::new(Exit::Unreachable, "`--tag` asks a server, and none works on this data directory");
        return Err(trouble.hint("start one with `retake server`, or leave `--tag` out").into());
    }
    let shown = typed.state.iter().map(|it| state(it)).collect::<Result<Vec<_>, _>>()?;
    loop {
        let now = SystemClock.now();
        let filter = RunFilter {
            flow: typed.flow.clone(),
            deployments: typed.deployment.iter().cloned().collect(),
            text: typed.text.clone(),
            shown: shown.clone(),
            since: typed.since.map(|it| ago(now, it)),
            roots_only: !typed.all,
            limit: typed.number.into(),
            ..RunFilter::default()
        };
        let mut views = Vec::new();
        if let Some(client) = &client {
            views = remote::ps(client, typed).await?;
        } else if let Some(store) = local::look(args)? {
            for record in store.list(filter, now).await? {
                let mut view = RunView::new(&record, now);
                view.host_gone = record.run.state.is_active() && local::host_is_gone(args);
                views.push(view);
            }
        }
        if typed.watch && args.output == Format::Table {
            // Clears the screen and goes to its top.
            anstream::print!("\u{1b}[2J\u{1b}[H");
        }
        if views.is_empty() && args.output == Format::Table {
            let any = [&typed.flow, &typed.deployment, &typed.tag, &typed.text].into_iter().any(Option::is_some)
                || !typed.state.is_empty()
                || typed.since.is_some();
            match any {
                true => out::line("no runs match"),
                false => out::line("no runs yet\n  hint: retake run FILE.wasm"),
            }
        } else {
            out::list(args.output, &views, |it| it.id.to_string(), || ps_table(&views));
        }
        if !typed.watch {
            return Ok(Exit::Ok);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = crate::follow::interrupted() => return Ok(Exit::Interrupted),
        }
    }
}

/// The instant that lies `length` before `now`.
pub(crate) fn ago(now: Timestamp, length: Duration) -> Timestamp {
    Timestamp::from_unix_ms(now.as_unix_ms().saturating_sub(retake_server::wire::millis(length)))
}

/// Reads the word for a state; `awaiting-retry` is as good as `AwaitingRetry`.
pub(crate) fn state(text: &str) -> Result<Shown, Trouble> {
    let same = |it: &Shown| it.to_string().eq_ignore_ascii_case(&text.replace(['-', '_'], ""));
    Shown::ALL.into_iter().find(same).ok_or_else(|| {
        let all = Shown::ALL.map(|it| it.to_string()).join(", ");
        Trouble::new(Exit::Usage, format!("no state `{text}`")).hint(format!("states: {all}"))
    })
}

pub(crate) fn ps_table(views: &[RunView]) -> comfy_table::Table {
    let mut table = out::table(&["NAME", "FLOW", "STATE", "ATTEMPT", "CREATED", "TOOK", "DUE"]);
    for view in views {
        let lasted = view.took_ms.map(|it| took(Duration::from_millis(it))).unwrap_or_default();
        table.add_row([
            view.name.clone(),
            one_line(view.deployment.as_ref().unwrap_or(&view.flow)),
            if view.host_gone { format!("{} (host gone)", view.state) } else { view.state.clone() },
            view.attempt.to_string(),
            instant(view.created),
            lasted,
            view.due.map(instant).unwrap_or_default(),
        ]);
    }
    table
}

pub(crate) async fn show(args: &Args, typed: &Target) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    if let Some(client) = server::found(args)? {
        let view = client.run(&typed.run).await?;
        out::one(args.output, &view, || view.id.to_string(), || show_table(&view));
        return Ok(Exit::Ok);
    }
    let store = local::look(args)?.ok_or_else(|| local::nothing_kept(&typed.run))?;
    let id = local::find(store.as_ref(), &typed.run).await?;
    let record = store.run(id).await?;
    let mut view = RunView::whole(store.as_ref(), &record, SystemClock.now()).await?;
    view.host_gone = record.run.state.is_active() && local::host_is_gone(args);
    out::one(args.output, &view, || id.to_string(), || show_table(&view));
    Ok(Exit::Ok)
}

pub(crate) fn show_table(view: &RunView) -> String {
    let mut lines = vec![
        format!("run        {} ({})", view.name, view.id),
        match &view.deployment {
            Some(deployment) => format!("deployment {} (queue {})", one_line(deployment), one_line(&view.queue)),
            None => format!("flow       {}", one_line(&view.flow)),
        },
        match view.host_gone {
            true => format!("state      {}, but its host is gone: `retake watch {}` goes on", view.state, view.name),
            false => format!("state      {}", view.state),
        },
        format!("attempt    {} (round {})", view.attempt, view.round),
        format!("component  {}", view.component.short()),
        format!("created    {}", instant(view.created)),
    ];
    if let Some(due) = view.due {
        lines.push(format!("due        {}", due_words(due)));
    }
    if let Some(ended) = view.ended {
        lines.push(format!("ended      {}", instant(ended)));
    }
    if let Some(parent) = view.parent {
        lines.push(format!("parent     {} ({parent})", parent.friendly_name()));
    }
    if let Some(parameters) = &view.parameters {
        lines.push(format!("parameters {}", one_line(parameters.as_str())));
    }
    for it in &view.overrides.inject {
        lines.push(format!("injected   {}", one_line(&it.to_string())));
    }
    if let Some(result) = &view.result {
        lines.push(format!("result     {}", one_line(result.as_str())));
    }
    if let Some(failure) = &view.failure {
        lines.push(format!("failure    {}", words(failure)));
        lines.extend(backtrace(failure));
    }
    if let Some(attempts) = view.attempts.as_ref().filter(|it| !it.is_empty()) {
        let mut table = out::table(&["ATTEMPT", "BEGAN", "TOOK", "PROCESSOR", "MEMORY", "OUTCOME"]);
        for it in attempts {
            table.add_row([
                it.attempt.to_string(),
                instant(it.began),
                took(it.ended.since(it.began)),
                took(Duration::from_micros(it.evidence.cpu_us)),
                bytes(it.evidence.peak_memory),
                it.failure.as_ref().map_or_else(|| "Completed".into(), words),
            ]);
        }
        lines.push(format!("\n{table}"));
    }
    if let Some(tasks) = view.tasks.as_ref().filter(|it| !it.is_empty()) {
        lines.push(format!("\n{}", tasks_table(tasks)));
    }
    for (number, child) in view.children.iter().flatten().enumerate() {
        let gap = if number == 0 { "\n" } else { "" };
        lines.push(format!("{gap}child      {} of {}: {}", child.name, one_line(&child.flow), child.state));
    }
    for event in view.events.iter().flatten() {
        lines.push(format!("\nevent      {} {} {}", instant(event.at), event.kind, one_line(event.details.as_str())));
    }
    lines.join("\n")
}

fn tasks_table(tasks: &[TaskView]) -> comfy_table::Table {
    let mut table =
        out::table(&["CALL", "TASK", "STATE", "ATTEMPTS", "TOOK", "PROCESSOR", "MEMORY", "RESULT OR FAILURE"]);
    for task in tasks {
        let name = task.label.as_deref().unwrap_or(&task.task);
        let outcome = match (&task.failure, &task.result) {
            (Some(failure), _) => words(failure),
            (None, Some(result)) => one_line(&retake_core::failure::cut(result.as_str().to_owned(), 60)),
            (None, None) => "not kept".into(),
        };
        let outcome = if task.by_hand { format!("{outcome} (set by hand)") } else { outcome };
        let name = match task.child {
            Some(child) => format!("{} ({})", one_line(name), child.friendly_name()),
            None => one_line(name),
        };
        table.add_row([
            task.number.to_string(),
            name,
            task.state.clone(),
            task.attempts.to_string(),
            took(task.ended.since(task.began)),
            took(Duration::from_micros(task.evidence.cpu_us)),
            bytes(task.evidence.peak_memory),
            outcome,
        ]);
    }
    table
}

/// The frames of a trap, innermost first, or the end of what an interpreter says of where it was.
fn backtrace(failure: &retake_core::failure::Failure) -> Vec<String> {
    const MOST: usize = 24;
    let Some(details) = failure.details.as_ref().map(|it| it.to_value()) else { return Vec::new() };
    let frames = details["backtrace"].as_array().cloned().unwrap_or_default();
    let frames = frames.iter().filter_map(|it| it.as_str()).map(|it| format!("             at {}", one_line(it)));
    let text = details["traceback"].as_str().or(details["stack"].as_str()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|it| !it.trim().is_empty()).collect();
    let lines = lines[lines.len().saturating_sub(MOST)..].iter();
    frames.chain(lines.map(|it| format!("             {}", out::plain(it)))).collect()
}

pub(crate) async fn logs(args: &Args, typed: &Logs) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    if args.output == Format::Id {
        return Err(Trouble::new(Exit::Usage, "log lines have no ids")
            .hint("`-o table`, `-o json` or `-o jsonl`")
            .into());
    }
    if let Some(client) = server::found(args)? {
        return remote::logs(args, &client, typed).await;
    }
    let store = local::look(args)?.ok_or_else(|| local::nothing_kept(&typed.run))?;
    let id = local::find(store.as_ref(), &typed.run).await?;
    // One document cannot be followed.
    let format = if typed.follow && args.output == Format::Json { Format::Jsonl } else { args.output };
    let mut document = Vec::new();
    let mut any = false;
    let from = typed.since.map(|it| ago(SystemClock.now(), it));
    let mut after = 0;
    loop {
        // Asked before the lines are read: whoever ends a run writes its last lines with its end.
        let ended = store.run(id).await?.run.state.is_terminal();
        loop {
            let page = store.logs(id, after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (_, line) in &page {
                let task = line.task.as_deref();
                let wanted = typed.task.as_deref().is_none_or(|it| task == Some(it))
                    && typed.attempt.is_none_or(|it| it == line.attempt)
                    && from.is_none_or(|it| line.at >= it);
                any |= wanted;
                match format {
                    _ if !wanted => {}
                    Format::Json => document.push(serde_json::to_value(LineView::new(line))?),
                    _ => print_line(format, &LineView::new(line)),
                }
            }
        }
        if !typed.follow || ended {
            if format == Format::Json {
                out::list(format, &document, |_| String::new(), || out::table(&[]));
            } else if !any && !args.quiet {
                let filtered = typed.task.is_some() || typed.attempt.is_some() || typed.since.is_some();
                anstream::eprintln!("{}", if filtered { "no lines match" } else { "it has logged nothing" });
            }
            return Ok(Exit::Ok);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
            () = crate::follow::interrupted() => return Ok(Exit::Interrupted),
        }
    }
}

pub(crate) fn print_line(format: Format, line: &LineView) {
    match format {
        Format::Table | Format::Id => {
            let level = match line.level {
                Level::Trace => "trace",
                Level::Debug => "debug",
                Level::Info => "info ",
                Level::Warn => "warn ",
                Level::Error => "error",
            };
            let task = line.task.as_ref().map(|it| format!("{} ", one_line(it))).unwrap_or_default();
            let fields = line.fields.as_ref().map(|it| format!(" {}", one_line(it.as_str()))).unwrap_or_default();
            println!("{} {level} {task}#{} {}{fields}", line.at, line.attempt, one_line(&line.message));
        }
        Format::Json | Format::Jsonl => out::one(Format::Jsonl, line, String::new, String::new),
    }
}
