//! `queues` and `task-tags`: how much of each is worked on at once.

use anstream::println;
use retake_server::Client;
use retake_server::types::Limit;

use crate::args::{Args, Format, Limits};
use crate::out::{self, Exit, one_line};
use crate::server;

/// What is limited.
#[derive(Clone, Copy)]
pub(crate) struct Of {
    /// In addresses, and the command.
    pub(crate) many: &'static str,
    one: &'static str,
    /// What is counted.
    counted: &'static str,
}

pub(crate) const QUEUES: Of = Of { many: "queues", one: "queue", counted: "runs of the queue" };
pub(crate) const TASK_TAGS: Of = Of { many: "task-tags", one: "tag", counted: "attempts of tasks with the tag" };

pub(crate) async fn limits(args: &Args, of: Of, typed: &Limits) -> anyhow::Result<Exit> {
    server::with_client(args, async |client| limits_of(args, client, of, typed).await).await
}

async fn limits_of(args: &Args, client: &Client, of: Of, typed: &Limits) -> anyhow::Result<Exit> {
    let Of { many, one, counted } = of;
    match typed {
        Limits::Ls => {
            let all = client.limits(many).await?;
            if all.is_empty() && args.output == Format::Table {
                println!("no {one} has a limit\n  hint: retake {many} limit NAME N");
                return Ok(Exit::Ok);
            }
            let table = || {
                let mut table = out::table(&[&one.to_uppercase(), "AT ONCE"]);
                for it in &all {
                    table.add_row([one_line(&it.name), it.concurrency.to_string()]);
                }
                table
            };
            out::list(args.output, &all, |it| it.name.clone(), table);
        }
        Limits::Limit { name, concurrency } => {
            let made = client.put_limit(many, name, &Limit { concurrency: *concurrency }).await?;
            let text = || format!("at most {concurrency} {counted} {name} at once");
            out::one(args.output, &made, || made.name.clone(), text);
        }
        Limits::Rm { name } => {
            client.remove_limit(many, name).await?;
            out::done(args.output, "removed", name, &format!("the {one} {name} has no limit any more"));
        }
    }
    Ok(Exit::Ok)
}
