//! `deploy`, `deployments`, `components`, `flows`, `schedules`, `tokens` and `audit`: what people define.
//!
//! Each asks a server; where there is none, this process serves the data directory to itself.

use anstream::println;
use retake_core::component::ComponentInfo;
use retake_core::schedule::{CatchUp, Overlap, When};
use retake_core::time::{Clock, Timestamp};
use retake_core::value::Json;
use retake_server::types::{
    Change, ComponentView, ComponentsPrune, Deployed, DeploymentAsk, DeploymentChange, DeploymentView, FailedSlotView,
    PolicyAsk, PruneAsk, Pruned, ScheduleAsk, ScheduleView,
};
use retake_server::wire::millis;
use retake_server::{Client, Role};

use crate::args::{
    Args, Audit, CatchUpWord, Components, Deploy, Deployments, Format, OverlapWord, RoleWord, ScheduleAdd, Schedules,
    Slots, Tokens,
};
use crate::local::SystemClock;
use crate::out::{self, Exit, Trouble, bytes, instant, one_line, took};
use crate::progress::Teller;
use crate::{inspect, params, run, server};

pub(crate) async fn deploy(args: &Args, typed: &Deploy) -> anyhow::Result<Exit> {
    let file = inspect::is_file(&typed.target).then(|| inspect::read(args, typed.target.as_ref())).transpose()?;
    let served = server::served(args).await?;
    let done = deploy_to(args, served.client(), typed, file).await;
    if done.is_ok() && served.is_own() && !args.quiet {
        anstream::eprintln!("  no server works on this data directory: `retake server` does");
    }
    served.end().await;
    done
}

async fn deploy_to(args: &Args, client: &Client, typed: &Deploy, file: Option<Vec<u8>>) -> anyhow::Result<Exit> {
    let teller = Teller::new(args.quiet);
    let (digest, info) = match file {
        Some(bytes) => {
            teller.wait_for_code("uploading, inspecting and compiling", bytes.len());
            // A dry run keeps the component too, where it is new: without it there is nothing to compare with. What is
            // kept and never deployed changes nothing.
            let found = client.upload(bytes, false).await?;
            teller.clear();
            (found.digest, found.info)
        }
        None => {
            let found = client.component(&typed.target).await?;
            (found.digest, found.info)
        }
    };
    let flow = run::choose_flow(&info, typed.flow.as_deref())?;
    let parameters = match typed.parameters.is_empty() {
        true => None,
        false => Some(params::read(&typed.parameters, flow)?),
    };
    let policy = PolicyAsk {
        retries: typed.policy.retries,
        retry_delay_ms: typed.policy.retry_delay.map(millis),
        timeout_ms: typed.timeout.map(millis),
        memory_bytes: typed.memory,
    };
    let schedule = when(&typed.when)?;
    let deployed = match client.has_deployment(&flow.name, &typed.name).await? {
        true => {
            let change = DeploymentChange {
                component: Some(digest.to_string()),
                queue: typed.queue.clone(),
                description: typed.description.clone(),
                parameters,
                tags: (!typed.tag.is_empty()).then(|| typed.tag.clone()),
                paused: None,
                concurrency: typed.concurrency,
                retention_ms: typed.retention.map(millis),
                secrets: (!typed.secret.is_empty()).then(|| named(&typed.secret)),
                variables: (!typed.variable.is_empty()).then(|| named(&typed.variable)),
                policy,
            };
            client.change_deployment(&flow.name, &typed.name, &change, typed.dry_run).await?
        }
        false => {
            let ask = DeploymentAsk {
                component: digest.to_string(),
                queue: typed.queue.clone(),
                description: typed.description.clone().unwrap_or_default(),
                parameters,
                tags: typed.tag.clone(),
                paused: false,
                concurrency: typed.concurrency.filter(|it| *it > 0),
                retention_ms: typed.retention.filter(|it| !it.is_zero()).map(millis),
                secrets: named(&typed.secret),
                variables: named(&typed.variable),
                policy,
            };
            client.deploy(&flow.name, &typed.name, &ask, typed.dry_run).await?
        }
    };
    let full = deployed.deployment.full_name.clone();
    let scheduled = match schedule {
        Some(when) if !deployed.created || !typed.dry_run => {
            let name = full.replace('/', ".");
            let had = client.schedules().await?.into_iter().find(|it| it.name == name).map(|it| it.schedule);
            if let Some(other) = had.as_ref().filter(|it| it.deployment != full) {
                let message = format!("the schedule `{name}` is of the deployment `{}`", other.deployment);
                let hint = format!("give this one another name: `retake schedules add NAME {full} …`");
                return Err(Trouble::new(Exit::Conflict, message).hint(hint).into());
            }
            let ask = schedule_ask(full.clone(), when, &typed.when, None, had);
            Some(client.put_schedule(&name, &ask, typed.dry_run).await?)
        }
        _ => None,
    };
    out::one(args.output, &deployed, || full.clone(), || deployed_text(&deployed, &info));
    if let Some(scheduled) = scheduled
        && !args.quiet
    {
        let first = scheduled.next.first().map_or("never".to_owned(), |it| instant(*it));
        anstream::eprintln!("its next run begins at {first} (schedule {})", scheduled.name);
    }
    if !args.quiet && deployed.applied {
        anstream::eprintln!("  hint: retake run '{full}'");
    }
    Ok(Exit::Ok)
}

/// Returns what was named; an empty name stands for none.
fn named(names: &[String]) -> Vec<String> {
    names.iter().filter(|it| !it.is_empty()).cloned().collect()
}

fn deployed_text(deployed: &Deployed, info: &ComponentInfo) -> String {
    let it = &deployed.deployment;
    let what = match (deployed.applied, deployed.created) {
        (true, true) => "deployed",
        (true, false) => "changed",
        (false, true) => "would be deployed",
        (false, false) if deployed.changes.is_empty() => "is as it was",
        (false, false) => "would be changed",
    };
    let code = format!("{} {}", one_line(&info.name), one_line(&info.version));
    let mut lines = vec![format!("{} {what}: {} ({})", it.full_name, code.trim(), it.component.short())];
    lines.extend(deployed.changes.iter().map(change_text));
    lines.extend(deployed.not_granted.iter().map(|it| format!("  not granted: {}", one_line(it))));
    lines.join("\n")
}

fn change_text(change: &Change) -> String {
    let side = |value: &Option<serde_json::Value>| match value {
        Some(value) => one_line(&retake_core::failure::cut(value.to_string(), 60)),
        None => "nothing".to_owned(),
    };
    format!("  {}: {} → {}", one_line(&change.what), side(&change.from), side(&change.to))
}

/// Reads when runs begin by themselves; `None` when nothing was typed about it.
fn when(typed: &Slots) -> anyhow::Result<Option<When>> {
    if let (Some(zone), None) = (&typed.tz, &typed.cron) {
        let message = "`--tz` is for `--cron`: `--every` counts hours, whatever the clock on the wall does";
        let hint = format!("`--cron '0 6 * * *' --tz {zone}` is every day at six by that clock");
        return Err(Trouble::new(Exit::Usage, message).hint(hint).into());
    }
    let when = match (&typed.cron, typed.every, typed.once) {
        (Some(expression), ..) => {
            When::Cron { expression: expression.clone(), time_zone: typed.tz.clone().unwrap_or_else(|| "UTC".into()) }
        }
        (None, Some(interval), _) => When::Every { interval, anchor: Timestamp::from_micros(0) },
        (None, None, Some(at)) => When::Once { at: Timestamp::from_micros(at.as_microsecond()) },
        (None, None, None) => return Ok(None),
    };
    when.check().map_err(|bad| {
        Trouble::new(Exit::Usage, bad.to_string())
            .hint("`--cron '0 6 * * 1-5' --tz Europe/Berlin`, `--every 15m` or `--once 2026-01-31T08:00:00Z`")
    })?;
    Ok(Some(when))
}

/// Lays what was typed over what there is.
fn schedule_ask(
    deployment: String,
    when: When,
    typed: &Slots,
    parameters: Option<Json>,
    had: Option<ScheduleAsk>,
) -> ScheduleAsk {
    let had = had.as_ref();
    let overlap = typed.overlap.map(|it| match it {
        OverlapWord::Allow => Overlap::Allow,
        OverlapWord::Skip => Overlap::Skip,
        OverlapWord::Queue => Overlap::Queue,
    });
    let catch_up = typed.catch_up.map(|it| match it {
        CatchUpWord::None => CatchUp::None,
        CatchUpWord::Latest => CatchUp::Latest,
        CatchUpWord::All => CatchUp::All,
    });
    ScheduleAsk {
        deployment,
        when,
        overlap: overlap.or(had.map(|it| it.overlap)).unwrap_or_default(),
        catch_up: catch_up.or(had.map(|it| it.catch_up)).unwrap_or_default(),
        jitter_ms: typed.jitter.map(millis).or(had.map(|it| it.jitter_ms)).unwrap_or_default(),
        parameters: parameters.or_else(|| had?.parameters.clone()),
        paused: had.is_some_and(|it| it.paused),
    }
}

/// Parts `flow/name`.
fn full_name(text: &str) -> anyhow::Result<(&str, &str)> {
    text.split_once('/').ok_or_else(|| {
        let message = format!("`{text}` is no deployment");
        Trouble::new(Exit::Usage, message).hint("write it as FLOW/NAME; `retake deployments ls` lists them").into()
    })
}

pub(crate) async fn deployments(args: &Args, typed: &Deployments) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    server::with_client(args, async |client| deployments_of(args, client, typed).await).await
}

async fn deployments_of(args: &Args, client: &Client, typed: &Deployments) -> anyhow::Result<Exit> {
    match typed {
        Deployments::Ls => {
            let all = client.deployments().await?;
            if all.is_empty() && args.output == Format::Table {
                println!("nothing is deployed yet\n  hint: retake deploy FILE.wasm -n NAME");
                return Ok(Exit::Ok);
            }
            out::list(
                args.output,
                &all,
                |it| it.full_name.clone(),
                || {
                    let mut table = out::table(&["DEPLOYMENT", "QUEUE", "CODE", "TAGS", "CHANGED"]);
                    for it in &all {
                        let name = if it.paused { format!("{} (paused)", it.full_name) } else { it.full_name.clone() };
                        table.add_row([
                            one_line(&name),
                            one_line(&it.queue),
                            it.component.short(),
                            one_line(&it.tags.join(", ")),
                            instant(it.updated),
                        ]);
                    }
                    table
                },
            );
        }
        Deployments::Show { name } => {
            let (flow, name) = full_name(name)?;
            let it = client.deployment(flow, name).await?;
            out::one(args.output, &it, || it.full_name.clone(), || deployment_text(&it));
        }
        Deployments::Rm { name } => {
            let (flow, short) = full_name(name)?;
            client.remove_deployment(flow, short).await?;
            out::done(args.output, "removed", name, &format!("{name} is removed; its runs stay"));
        }
        Deployments::Prune { name, ended_before, dry_run } => {
            let (flow, short) = full_name(name)?;
            let ask = PruneAsk { ended_before_ms: ended_before.map(millis), dry_run: *dry_run };
            let mut pruned = client.prune(flow, short, &ask).await?;
            while pruned.more && pruned.applied {
                let next = client.prune(flow, short, &ask).await?;
                let more = next.more && next.runs > 0;
                pruned = Pruned { runs: pruned.runs + next.runs, more, ..next };
            }
            let (count, would) = (pruned.runs, if pruned.applied { "are" } else { "would be" });
            let more = if pruned.more { " and more" } else { "" };
            out::one(
                args.output,
                &pruned,
                || count.to_string(),
                || format!("{count} runs{more} of {name} {would} removed"),
            );
        }
        Deployments::Pause { name } => paused(args, client, name, true).await?,
        Deployments::Resume { name } => paused(args, client, name, false).await?,
    }
    Ok(Exit::Ok)
}

async fn paused(args: &Args, client: &Client, full: &str, paused: bool) -> anyhow::Result<()> {
    let (flow, name) = full_name(full)?;
    let change = DeploymentChange { paused: Some(paused), ..DeploymentChange::default() };
    client.change_deployment(flow, name, &change, false).await?;
    let (word, text) = match paused {
        true => ("paused", format!("{full} is paused: its schedules make no runs")),
        false => ("resumed", format!("{full} is resumed: its schedules make runs")),
    };
    out::done(args.output, word, full, &text);
    Ok(())
}

fn deployment_text(it: &DeploymentView) -> String {
    let mut lines = vec![
        format!("deployment {}", it.full_name),
        format!("queue      {}", one_line(&it.queue)),
        format!("component  {}", it.component.short()),
        format!("parameters {}", one_line(it.parameters.as_str())),
        format!("changed    {} (version {})", instant(it.updated), it.version),
    ];
    if !it.description.is_empty() {
        lines.push(format!("about      {}", one_line(&it.description)));
    }
    if !it.tags.is_empty() {
        lines.push(format!("tags       {}", one_line(&it.tags.join(", "))));
    }
    let policy = serde_json::to_string(&it.policy).unwrap_or_default();
    if policy != "{}" {
        lines.push(format!("policy     {policy}"));
    }
    for (what, names) in [("secrets    ", &it.secrets), ("variables  ", &it.variables)] {
        if !names.is_empty() {
            lines.push(format!("{what}{}", one_line(&names.join(", "))));
        }
    }
    if let Some(most) = it.concurrency {
        lines.push(format!("at once    {most} runs at most"));
    }
    if let Some(retention) = it.retention_ms {
        lines.push(format!("kept       {} after a run has ended", took(std::time::Duration::from_millis(retention))));
    }
    if it.paused {
        lines.push("paused     its schedules make no runs".into());
    }
    lines.join("\n")
}

pub(crate) async fn components(args: &Args, typed: &Components) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let file = match typed {
        Components::Add { file } => Some(inspect::read(args, file)?),
        _ => None,
    };
    server::with_client(args, async |client| components_of(args, client, typed, file).await).await
}

async fn components_of(
    args: &Args,
    client: &Client,
    typed: &Components,
    file: Option<Vec<u8>>,
) -> anyhow::Result<Exit> {
    match typed {
        Components::Ls => {
            let all = client.components().await?;
            if all.is_empty() && args.output == Format::Table {
                println!("no components yet\n  hint: retake deploy FILE.wasm -n NAME");
                return Ok(Exit::Ok);
            }
            out::list(args.output, &all, |it| it.digest.to_string(), || components_table(&all));
        }
        Components::Add { .. } => {
            let found = client.upload(file.unwrap_or_default(), false).await?;
            out::one(
                args.output,
                &found,
                || found.digest.to_string(),
                || format!("{} {} is kept as {}", found.info.name, found.info.version, found.digest.short()),
            );
        }
        Components::Prune { keep, dry_run } => {
            let ask = ComponentsPrune { keep: Some((*keep).into()), dry_run: *dry_run };
            let pruned = client.prune_components(&ask).await?;
            if pruned.components.is_empty() && args.output == Format::Table {
                println!("nothing to remove: all components are needed, or among the newest");
                return Ok(Exit::Ok);
            }
            out::list(
                args.output,
                &pruned.components,
                |it| it.digest.to_string(),
                || components_table(&pruned.components),
            );
            if !args.quiet {
                let would = if pruned.applied { "were" } else { "would be" };
                let (n, size) = (pruned.components.len(), bytes(pruned.bytes));
                anstream::eprintln!("{n} {would} removed, {size} and what was compiled of them");
                if pruned.applied {
                    anstream::eprintln!("  their files go within an hour or so; to upload one again brings it back");
                }
            }
        }
        Components::Rm { digest } => {
            client.remove_component(digest).await?;
            out::done(args.output, "removed", digest, &format!("{digest} is removed"));
        }
    }
    Ok(Exit::Ok)
}

fn components_table(all: &[ComponentView]) -> comfy_table::Table {
    let mut table = out::table(&["COMPONENT", "VERSION", "DIGEST", "FLOWS", "SIZE", "UPLOADED"]);
    for it in all {
        let flows: Vec<&str> = it.info.flows.iter().map(|it| it.name.as_str()).collect();
        table.add_row([
            one_line(&it.info.name),
            one_line(&it.info.version),
            it.digest.short(),
            one_line(&flows.join(", ")),
            bytes(it.bytes),
            instant(it.uploaded),
        ]);
    }
    table
}

pub(crate) async fn flows(args: &Args) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let served = server::served(args).await?;
    let all = served.client().flows().await;
    served.end().await;
    let all = all?;
    if all.is_empty() && args.output == Format::Table {
        println!("no flows yet\n  hint: retake deploy FILE.wasm -n NAME");
        return Ok(Exit::Ok);
    }
    out::list(
        args.output,
        &all,
        |it| it.flow.name.clone(),
        || {
            let mut table = out::table(&["FLOW", "COMPONENT", "RETRIES", "ABOUT"]);
            for it in &all {
                table.add_row([
                    one_line(&it.flow.name),
                    format!("{} {}", one_line(&it.component_name), one_line(&it.component_version)),
                    it.flow.retry.retries.to_string(),
                    one_line(&it.flow.description),
                ]);
            }
            table
        },
    );
    Ok(Exit::Ok)
}

pub(crate) async fn schedules(args: &Args, typed: &Schedules) -> anyhow::Result<Exit> {
    server::with_client(args, async |client| schedules_of(args, client, typed).await).await
}

async fn schedules_of(args: &Args, client: &Client, typed: &Schedules) -> anyhow::Result<Exit> {
    match typed {
        Schedules::Ls => {
            let all = client.schedules().await?;
            if all.is_empty() && args.output == Format::Table {
                println!("no schedules yet\n  hint: retake schedules add NAME FLOW/NAME --every 15m");
                return Ok(Exit::Ok);
            }
            out::list(args.output, &all, |it| it.name.clone(), || schedules_table(&all));
        }
        Schedules::Show { name } => show_schedule(args, &client.schedule(name).await?),
        Schedules::Add(add) => show_schedule(args, &add_schedule(client, add).await?),
        Schedules::Rm { name } => {
            client.remove_schedule(name).await?;
            out::done(args.output, "removed", name, &format!("schedule {name} is removed; its runs stay"));
        }
        Schedules::Pause { name } | Schedules::Resume { name } => {
            let paused = matches!(typed, Schedules::Pause { .. });
            let ask = ScheduleAsk { paused, ..client.schedule(name).await?.schedule };
            show_schedule(args, &client.put_schedule(name, &ask, false).await?);
        }
    }
    Ok(Exit::Ok)
}

async fn add_schedule(client: &Client, add: &ScheduleAdd) -> anyhow::Result<ScheduleView> {
    let when = when(&add.when)?.ok_or_else(|| {
        Trouble::new(Exit::Usage, "nothing says when its runs begin")
            .hint("`--cron '0 6 * * 1-5' --tz Europe/Berlin`, `--every 15m` or `--once 2026-01-31T08:00:00Z`")
    })?;
    let parameters = match add.parameters.is_empty() {
        true => None,
        false => {
            let (flow, name) = full_name(&add.deployment)?;
            let deployment = client.deployment(flow, name).await?;
            let component = client.component(&deployment.component.to_string()).await?;
            Some(params::read(&add.parameters, run::choose_flow(&component.info, Some(flow))?)?)
        }
    };
    let ask = schedule_ask(add.deployment.clone(), when, &add.when, parameters, None);
    Ok(client.put_schedule(&add.name, &ask, add.dry_run).await?)
}

fn when_words(when: &When) -> String {
    match when {
        When::Cron { expression, time_zone } => format!("{expression} ({time_zone})"),
        When::Every { interval, .. } => format!("every {}", took(*interval)),
        When::Once { at } => format!("once at {}", instant(*at)),
    }
}

fn schedules_table(all: &[ScheduleView]) -> comfy_table::Table {
    let mut headings = vec!["SCHEDULE", "DEPLOYMENT", "WHEN", "NEXT", "LAST"];
    let has_failed = all.iter().any(|it| it.failed.is_some());
    headings.extend(has_failed.then_some("MADE NO RUN"));
    let mut table = out::table(&headings);
    for it in all {
        let next = match (it.schedule.paused, it.next.first()) {
            (true, _) => "paused".to_owned(),
            (false, Some(next)) => instant(*next),
            (false, None) => "never again".to_owned(),
        };
        let mut row = vec![
            one_line(&it.name),
            one_line(&it.schedule.deployment),
            one_line(&when_words(&it.schedule.when)),
            next,
            it.last.map(instant).unwrap_or_default(),
        ];
        if has_failed {
            row.push(it.failed.as_ref().map(failed_words).unwrap_or_default());
        }
        table.add_row(row);
    }
    table
}

fn failed_words(failed: &FailedSlotView) -> String {
    format!("{}: {}", instant(failed.slot), one_line(&retake_core::failure::cut(failed.error.clone(), 200)))
}

fn show_schedule(args: &Args, it: &ScheduleView) {
    out::one(
        args.output,
        it,
        || it.name.clone(),
        || {
            let mut lines = vec![
                format!("schedule   {}", one_line(&it.name)),
                format!("deployment {}", one_line(&it.schedule.deployment)),
                format!("when       {}", one_line(&when_words(&it.schedule.when))),
            ];
            if it.schedule.paused {
                lines.push("paused     it makes no runs".into());
            }
            lines.extend(it.failed.iter().map(|it| format!("no run     {}", failed_words(it))));
            if !it.schedule.paused {
                lines.extend(it.next.iter().map(|at| format!("next       {}", instant(*at))));
            }
            lines.extend(it.queued.iter().map(|at| format!("queued     {}", instant(*at))));
            lines.join("\n")
        },
    );
}

pub(crate) async fn tokens(args: &Args, typed: &Tokens) -> anyhow::Result<Exit> {
    server::with_client(args, async |client| tokens_of(args, client, typed).await).await
}

async fn tokens_of(args: &Args, client: &Client, typed: &Tokens) -> anyhow::Result<Exit> {
    match typed {
        Tokens::Ls => {
            let all = client.tokens().await?;
            if all.is_empty() && args.output == Format::Table {
                println!("no tokens yet\n  hint: retake server, which makes the first");
                return Ok(Exit::Ok);
            }
            out::list(
                args.output,
                &all,
                |it| it.name.clone(),
                || {
                    let mut table = out::table(&["TOKEN", "ROLE", "MADE", "ENDS"]);
                    for it in &all {
                        let ends = it.expires.map_or("never".to_owned(), instant);
                        table.add_row([one_line(&it.name), it.role.as_str().to_owned(), instant(it.created), ends]);
                    }
                    table
                },
            );
        }
        Tokens::Add { name, role, expires_in } => {
            let role = match role {
                RoleWord::Viewer => Role::Viewer,
                RoleWord::Operator => Role::Operator,
                RoleWord::Deployer => Role::Deployer,
                RoleWord::Admin => Role::Admin,
            };
            let expires = expires_in.map(|it| SystemClock.now() + it);
            let made = client.make_token(name, role, expires).await?;
            out::one(args.output, &made, || made.token.clone(), || made.token.clone());
            if !args.quiet {
                anstream::eprintln!("it is shown this once: `RETAKE_TOKEN`, `--token`, or `Authorization: Bearer`");
            }
        }
        Tokens::Rm { name } => {
            client.revoke_token(name).await?;
            out::done(args.output, "revoked", name, &format!("token {name} is revoked"));
        }
    }
    Ok(Exit::Ok)
}

pub(crate) async fn audit(args: &Args, typed: &Audit) -> anyhow::Result<Exit> {
    server::with_client(args, async |client| audit_of(args, client, typed).await).await
}

async fn audit_of(args: &Args, client: &Client, typed: &Audit) -> anyhow::Result<Exit> {
    let subject = match &typed.subject {
        // A run is known by its id there.
        Some(text) => Some(client.run(text).await.map_or(text.clone(), |it| it.id.to_string())),
        None => None,
    };
    let page = client.audit(subject.as_deref(), typed.number.into()).await?;
    if page.items.is_empty() && args.output == Format::Table {
        println!("nobody did anything yet");
        return Ok(Exit::Ok);
    }
    out::list(
        args.output,
        &page.items,
        |it| it.subject.clone(),
        || {
            let mut table = out::table(&["WHEN", "WHO", "WHAT", "TO", "HOW"]);
            for it in &page.items {
                table.add_row([
                    instant(it.at),
                    one_line(&it.actor),
                    one_line(&it.action),
                    one_line(&it.subject),
                    one_line(&retake_core::failure::cut(it.details.as_str().to_owned(), 60)),
                ]);
            }
            table
        },
    );
    Ok(Exit::Ok)
}
