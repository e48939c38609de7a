//! `nodes`: the processes that work on runs.

use anstream::println;
use retake_server::Client;
use retake_server::types::{NodeView, SlotsView};

use crate::args::{Args, Format, Nodes};
use crate::out::{self, Exit, instant, one_line};
use crate::server;

pub(crate) async fn nodes(args: &Args, typed: &Nodes) -> anyhow::Result<Exit> {
    crate::out::choose_color(args.color);
    // A command that serves itself works on nothing.
    let Some(client) = server::found(args)? else {
        match args.output {
            Format::Table => {
                println!("no server works on the data directory\n  hint: retake server, or --server URL");
            }
            format => out::list(format, &Vec::<NodeView>::new(), |it| it.name.clone(), || out::table(&[])),
        }
        return Ok(if matches!(typed, Nodes::Ls) { Exit::Ok } else { Exit::NotFound });
    };
    match typed {
        Nodes::Ls => {
            let all = client.nodes().await?;
            out::list(args.output, &all, |it| it.name.clone(), || table(&all));
            Ok(Exit::Ok)
        }
        Nodes::Drain { name } => change(args, &client, name, true).await,
        Nodes::Resume { name } => change(args, &client, name, false).await,
    }
}

async fn change(args: &Args, client: &Client, name: &str, draining: bool) -> anyhow::Result<Exit> {
    let node = client.change_node(name, draining).await?;
    let text = || match (draining, node.flow_runs.used) {
        (true, 0) => format!("{name} takes no more runs, and works on none"),
        (true, left) => format!("{name} takes no more runs; {left} are still worked on"),
        (false, _) => format!("{name} takes runs again"),
    };
    out::one(args.output, &node, || node.name.clone(), text);
    Ok(Exit::Ok)
}

fn table(all: &[NodeView]) -> comfy_table::Table {
    let mut table = out::table(&["NODE", "SINCE", "QUEUES", "FLOW RUNS", "TASK ATTEMPTS", ""]);
    let slots = |it: SlotsView| format!("{} of {}", it.used, it.slots);
    for it in all {
        let queues = if it.queues.is_empty() { "all".to_owned() } else { it.queues.join(", ") };
        let draining = if it.draining { "draining" } else { "" };
        let (runs, attempts) = (slots(it.flow_runs), slots(it.task_attempts));
        table.add_row([one_line(&it.name), instant(it.since), one_line(&queues), runs, attempts, draining.into()]);
    }
    table
}
