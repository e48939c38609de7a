//! `ps`, `show`, `logs` and `version`: what only looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anstream::println;
use retake_core::id::FlowRunId;
use retake_core::run::Shown;
use retake_core::task::Level;
use retake_core::time::{Clock, Timestamp};
use retake_server::types::RunsFilter;
use retake_server::{Client, lines};
use retake_store::Store;

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
    loop {
        let now = SystemClock.now();
        let filter = RunsFilter {
            flow: typed.flow.clone(),
            deployment: typed.deployment.clone(),
            tag: typed.tag.clone(),
            text: typed.text.clone(),
            code: typed.code.clone(),
            state: (!typed.state.is_empty()).then(|| typed.state.join(",")),
            since: typed.since.map(|it| ago(now, it)),
            children: typed.all,
            ..RunsFilter::default()
        };
        // One more says whether there are more.
        let most = usize::from(typed.number);
        let mut views = Vec::new();
        if let Some(client) = &client {
            views = remote::ps(client, filter, most + 1).await?;
        } else if let Some(store) = local::look(args)? {
            let filter = filter.read(store.as_ref(), most + 1).await.map_err(unread)?;
            for record in store.list(filter, now).await? {
                let mut view = RunView::new(&record, now);
                view.host_gone = record.run.state.is_active() && local::host_is_gone(args);
                views.push(view);
            }
        }
        let more = views.len() > most;
        views.truncate(most);
        if typed.watch && args.output == Format::Table {
            // Clears the screen and goes to its top.
            anstream::print!("\u{1b}[2J\u{1b}[H");
        }
        if views.is_empty() && args.output == Format::Table {
            let texts = [&typed.flow, &typed.deployment, &typed.tag, &typed.text, &typed.code];
            let any = texts.into_iter().any(Option::is_some) || !typed.state.is_empty() || typed.since.is_some();
            match any {
                true => out::line("no runs match"),
                false => out::line("no runs yet\n  hint: retake run FILE.wasm"),
            }
        } else {
            out::list(args.output, &views, |it| it.id.to_string(), || ps_table(&views));
        }
        if more && !args.quiet && args.output == Format::Table {
            let hint = match most {
                10_000 => "`--since`, `--flow` and others choose fewer".to_owned(),
                _ => format!("`-n {}` shows more", (most * 10).min(10_000)),
            };
            anstream::eprintln!("more runs match, older ones\n  hint: {hint}");
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

/// A filter that cannot be read is said as a server says it.
pub(crate) fn unread(error: retake_server::ApiError) -> anyhow::Error {
    anyhow::Error::from(retake_server::ClientError::Refused(error))
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
    // Why a run failed, or what it waits for: only where there is something to say.
    let reason = |it: &RunView| it.waits_for.clone().or_else(|| it.failure.as_ref().map(words));
    let has_reasons = views.iter().any(|it| reason(it).is_some());
    let mut headings = vec!["NAME", "FLOW", "STATE", "ATTEMPT", "CREATED", "TOOK", "DUE"];
    headings.extend(has_reasons.then_some("REASON"));
    let mut table = out::table(&headings);
    for view in views {
        let lasted = view.took_ms.map(|it| took(Duration::from_millis(it))).unwrap_or_default();
        let mut row = vec![
            view.name.clone(),
            one_line(view.deployment.as_ref().unwrap_or(&view.flow)),
            if view.host_gone { format!("{} (host gone)", view.state) } else { view.state.clone() },
            view.attempt.to_string(),
            instant(view.created),
            lasted,
            view.due.map(instant).unwrap_or_default(),
        ];
        if has_reasons {
            let reason = reason(view).unwrap_or_default();
            row.push(one_line(&retake_core::failure::cut(reason, 100)));
        }
        table.add_row(row);
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
        match view.component_removed {
            Some(at) => format!(
                "component  {}, removed {}: `retake retry {} --version latest` runs newer code",
                view.component.short(),
                instant(at),
                view.name
            ),
            None => format!("component  {}", view.component.short()),
        },
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
        let name = task.title(tasks);
        let outcome = match (&task.failure, &task.result) {
            (Some(failure), _) => words(failure),
            (None, Some(result)) => one_line(&retake_core::failure::cut(result.as_str().to_owned(), 60)),
            (None, None) if matches!(task.state.as_str(), "Running" | "Scheduled") => String::new(),
            (None, None) => "not kept".into(),
        };
        let outcome = if task.by_hand { format!("{outcome} (set by hand)") } else { outcome };
        let name = match task.child {
            Some(child) => format!("{} ({})", one_line(&name), child.friendly_name()),
            None => one_line(&name),
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
    let client = server::found(args)?;
    let source = match &client {
        Some(client) => Source::Server(client, client.run(&typed.run).await?.id),
        None => {
            let store = local::look(args)?.ok_or_else(|| local::nothing_kept(&typed.run))?;
            let id = local::find(store.as_ref(), &typed.run).await?;
            Source::Store(store, id)
        }
    };
    // One document cannot be followed.
    let format = if typed.follow && args.output == Format::Json { Format::Jsonl } else { args.output };
    let from = typed.since.map(|it| ago(SystemClock.now(), it));
    let wanted = |line: &LineView| {
        typed.task.as_deref().is_none_or(|it| line.task.as_deref() == Some(it))
            && typed.attempt.is_none_or(|it| it == line.attempt)
            && from.is_none_or(|it| line.at >= it)
    };
    let (mut document, mut any, mut after) = (Vec::new(), false, 0);
    let mut titles = HashMap::new();
    if let (Source::Server(client, id), true, false) = (&source, typed.follow, typed.tree) {
        return follow_logs(client, *id, format, &source, wanted).await;
    }
    loop {
        // Asked before the lines are read: whoever ends a run writes its last lines with its end.
        let ended = !typed.follow || source.has_ended().await?;
        loop {
            let (lines, last) = source.lines(after, typed.tree).await?;
            if lines.is_empty() {
                break;
            }
            after = last;
            if format == Format::Table
                && !typed.tree
                && lines.iter().any(|it| it.call > 0 && !titles.contains_key(&it.call))
            {
                titles = source.titles().await?;
            }
            for line in lines.into_iter().filter(&wanted) {
                any = true;
                match format {
                    Format::Json => document.push(line),
                    _ => print_line(format, &line, &titles),
                }
            }
        }
        if ended {
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

/// Prints lines as a server keeps them, until the run has ended.
async fn follow_logs(
    client: &Client,
    id: FlowRunId,
    format: Format,
    source: &Source<'_>,
    wanted: impl Fn(&LineView) -> bool,
) -> anyhow::Result<Exit> {
    /// How often the calls are asked for by which lines are told apart.
    const TITLES: Duration = Duration::from_secs(5);
    let (mut titles, mut asked) = (HashMap::new(), None::<tokio::time::Instant>);
    let mut lines = client.follow_logs(&id.to_string()).await?;
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            () = crate::follow::interrupted() => return Ok(Exit::Interrupted),
        };
        let Some(line) = line else { return Ok(Exit::Ok) };
        let unknown = line.call > 0 && !titles.contains_key(&line.call);
        if format == Format::Table && unknown && asked.is_none_or(|it| it.elapsed() >= TITLES) {
            (titles, asked) = (source.titles().await?, Some(tokio::time::Instant::now()));
        }
        if wanted(&line) {
            print_line(format, &line, &titles);
        }
    }
}

/// Where lines are read from.
enum Source<'a> {
    Server(&'a Client, FlowRunId),
    Store(Arc<dyn Store>, FlowRunId),
}

impl Source<'_> {
    /// Returns the lines after some line, and the number of the last of them.
    async fn lines(&self, after: u64, tree: bool) -> anyhow::Result<(Vec<LineView>, u64)> {
        Ok(match self {
            Self::Server(client, id) => {
                let page = client.logs(&id.to_string(), &after.to_string(), tree).await?;
                let last = page.next.and_then(|it| it.parse().ok()).unwrap_or(after);
                (page.items, last)
            }
            Self::Store(store, id) if tree => {
                let runs = lines::tree(store.as_ref(), *id, SystemClock.now()).await?;
                let all = lines::of_all(store.as_ref(), &runs, after, PAGE).await?;
                let last = all.last().map_or(after, |(row, ..)| *row);
                (all.iter().map(|(_, run, line)| LineView::of(*run, line)).collect(), last)
            }
            Self::Store(store, id) => {
                let page = store.logs(*id, after, PAGE).await?;
                let last = page.last().map_or(after, |(row, _)| *row);
                (page.iter().map(|(_, line)| LineView::new(line)).collect(), last)
            }
        })
    }

    async fn run(&self) -> anyhow::Result<RunView> {
        Ok(match self {
            Self::Server(client, id) => client.run(&id.to_string()).await?,
            Self::Store(store, id) => RunView::whole(store.as_ref(), &store.run(*id).await?, SystemClock.now()).await?,
        })
    }

    async fn has_ended(&self) -> anyhow::Result<bool> {
        let state = match self {
            Self::Store(store, id) => return Ok(store.run(*id).await?.run.state.is_terminal()),
            Self::Server(..) => self.run().await?.state,
        };
        Ok(Shown::ALL.iter().any(|it| it.is_terminal() && it.to_string() == state))
    }

    /// What people call the calls of the run, by their numbers.
    async fn titles(&self) -> anyhow::Result<HashMap<u32, String>> {
        let tasks = self.run().await?.tasks.unwrap_or_default();
        Ok(tasks.iter().map(|it| (it.number, it.title(&tasks))).collect())
    }
}

pub(crate) fn print_line(format: Format, line: &LineView, titles: &HashMap<u32, String>) {
    match format {
        Format::Table | Format::Id => {
            let level = match line.level {
                Level::Trace => "trace",
                Level::Debug => "debug",
                Level::Info => "info ",
                Level::Warn => "warn ",
                Level::Error => "error",
            };
            let title = titles.get(&line.call).filter(|_| line.run.is_none());
            let task = match (title, &line.task) {
                (Some(title), Some(_)) => format!("{} ", one_line(title)),
                // Not kept yet, or a child's.
                (None, Some(task)) => format!("{} (call {}) ", one_line(task), line.call),
                (_, None) => String::new(),
            };
            let run = line.run.as_ref().map(|it| format!("{it} ")).unwrap_or_default();
            let fields = line.fields.as_ref().map(|it| format!(" {}", one_line(it.as_str()))).unwrap_or_default();
            let at = out::precise(line.at);
            println!("{at} {level} {run}{task}#{} {}{fields}", line.attempt, one_line(&line.message));
        }
        Format::Json | Format::Jsonl => out::one(Format::Jsonl, line, String::new, String::new),
    }
}
