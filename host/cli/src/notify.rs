//! `notify`: who is told of what, and what became of each message.

use std::time::Duration;

use anstream::println;
use retake_server::Client;
use retake_server::types::{DeliveryView, NotificationView, Receiver, Rule};
use retake_server::wire::millis;

use crate::args::{Args, Format, Notify, NotifyAdd};
use crate::out::{self, Exit, Trouble, instant, one_line};
use crate::progress::due_words;
use crate::{look, server};

/// How long a test waits for what becomes of its message.
const TEST: Duration = Duration::from_secs(15);

pub(crate) async fn notify(args: &Args, typed: &Notify) -> anyhow::Result<Exit> {
    server::with_client(args, async |client| notify_of(args, client, typed).await).await
}

async fn notify_of(args: &Args, client: &Client, typed: &Notify) -> anyhow::Result<Exit> {
    match typed {
        Notify::Ls => {
            let all = client.notifications().await?;
            if all.is_empty() && args.output == Format::Table {
                println!("nobody is told of anything yet\n  hint: retake notify add NAME --webhook URL");
                return Ok(Exit::Ok);
            }
            out::list(args.output, &all, |it| it.name.clone(), || rules_table(&all));
        }
        Notify::Add(add) => {
            if let Some(name) = &add.deployment
                && client.deployments().await?.iter().all(|it| it.full_name != *name)
                && !args.quiet
            {
                anstream::eprintln!("there is no deployment `{name}` yet: nobody is told of anything until there is");
            }
            let made = client.put_notification(&add.name, &rule(add)?).await?;
            let secret = match &made.rule.to {
                Receiver::Webhook { secret, .. } => secret.clone(),
                _ => None,
            };
            let text = || match &secret {
                Some(secret) => secret.clone(),
                None if made.version == 1 => format!("{} is made", made.name),
                None => format!("{} is changed", made.name),
            };
            out::one(args.output, &made, || made.name.clone(), text);
            if secret.is_some() && !args.quiet {
                anstream::eprintln!("its messages are signed with this secret; it is shown this once");
            }
            if !args.quiet {
                anstream::eprintln!("  hint: retake notify test {}", made.name);
            }
        }
        Notify::Rm { name } => {
            client.remove_notification(name).await?;
            out::done(args.output, "removed", name, &format!("notification {name} is removed"));
        }
        Notify::Test { name } => return test(args, client, name).await,
        Notify::Deliveries { name, number } => {
            let page = client.deliveries(name.as_deref(), (*number).into()).await?;
            if page.items.is_empty() && args.output == Format::Table {
                println!("nothing was sent yet");
                return Ok(Exit::Ok);
            }
            let id = |it: &DeliveryView| it.id.clone();
            out::list(args.output, &page.items, id, || deliveries_table(&page.items));
        }
    }
    Ok(Exit::Ok)
}

fn rule(add: &NotifyAdd) -> anyhow::Result<Rule> {
    let to = match (&add.webhook, &add.slack, &add.apprise) {
        (Some(url), ..) => Receiver::Webhook { url: url.clone(), secret: add.secret.clone() },
        (None, Some(url), _) => Receiver::Slack { url: url.clone() },
        (None, None, Some(url)) => Receiver::Apprise { url: url.clone() },
        (None, None, None) if !add.email.is_empty() => Receiver::Email { addresses: add.email.clone() },
        (None, None, None) => {
            let hint = "`--webhook URL`, `--slack URL`, `--apprise URL` or `--email ADDRESS`";
            return Err(Trouble::new(Exit::Usage, "nobody is named who is told").hint(hint).into());
        }
    };
    let states = match add.state.is_empty() {
        true => ["failed", "timed-out", "crashed", "parked"].map(str::to_owned).to_vec(),
        false => add.state.clone(),
    };
    Ok(Rule {
        states: states.iter().map(|it| look::state(it)).collect::<Result<_, _>>()?,
        flow: add.flow.clone(),
        deployment: add.deployment.clone(),
        tag: add.tag.clone(),
        in_a_row: add.in_a_row,
        quiet_ms: millis(add.quiet_for),
        paused: false,
        to,
    })
}

/// Sends a test message and waits for what becomes of its first try.
async fn test(args: &Args, client: &Client, name: &str) -> anyhow::Result<Exit> {
    client.test_notification(name).await?;
    let ends = tokio::time::Instant::now() + TEST;
    loop {
        let page = client.deliveries(Some(name), 1).await?;
        match page.items.first() {
            Some(it) if it.run.is_none() && it.attempts > 0 => {
                let answer = it.answer.as_deref().unwrap_or("no answer");
                let text = || format!("{}: {}", it.state, one_line(answer));
                out::one(args.output, it, || it.state.clone(), text);
                return Ok(if it.state == "delivered" { Exit::Ok } else { Exit::Failed });
            }
            _ if tokio::time::Instant::now() >= ends => {
                let hint = "messages are sent by `retake server`: does it run? `retake notify deliveries`";
                return Err(Trouble::new(Exit::WaitEnded, "the message was not sent yet").hint(hint).into());
            }
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn rules_table(all: &[NotificationView]) -> comfy_table::Table {
    let mut table = out::table(&["NOTIFICATION", "STATES", "OF", "TO"]);
    for it in all {
        let rule = &it.rule;
        let states: Vec<String> = rule.states.iter().map(ToString::to_string).collect();
        let of = [&rule.flow, &rule.deployment, &rule.tag].into_iter().flatten().cloned().collect::<Vec<_>>();
        let to = match &rule.to {
            Receiver::Webhook { url, .. } => format!("webhook {url}"),
            Receiver::Slack { url } => format!("slack {url}"),
            Receiver::Apprise { url } => format!("apprise {url}"),
            Receiver::Email { addresses } => format!("email {}", addresses.join(", ")),
        };
        let of = if of.is_empty() { "all runs".to_owned() } else { of.join(", ") };
        let name = if rule.paused { format!("{} (paused)", it.name) } else { it.name.clone() };
        table.add_row([one_line(&name), states.join(", "), one_line(&of), one_line(&to)]);
    }
    table
}

fn deliveries_table(all: &[DeliveryView]) -> comfy_table::Table {
    let mut table = out::table(&["WHEN", "NOTIFICATION", "RUN", "STATE", "TRIED", "ANSWER", "AGAIN"]);
    for it in all {
        table.add_row([
            instant(it.created),
            one_line(&it.rule),
            it.run.map_or("test".to_owned(), |it| it.friendly_name()),
            it.state.clone(),
            it.attempts.to_string(),
            one_line(it.answer.as_deref().unwrap_or_default()),
            it.due.map(due_words).unwrap_or_default(),
        ]);
    }
    table
}
