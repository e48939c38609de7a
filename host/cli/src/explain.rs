//! `explain`: where a run stands, why, and what can be done, in sentences.

use retake_core::time::Clock;
use retake_server::Explanation;

use crate::args::{Args, Target};
use crate::local::{self, SystemClock};
use crate::out::{self, Exit};

pub(crate) async fn explain(args: &Args, typed: &Target) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    if let Some(client) = crate::server::found(args)? {
        return crate::remote::explain(args, &client, typed).await;
    }
    let store = local::look(args)?.ok_or_else(|| local::nothing_kept(&typed.run))?;
    let id = local::find(store.as_ref(), &typed.run).await?;
    let record = store.run(id).await?;
    let told = Explanation::of(store.as_ref(), &record, local::host_is_gone(args), None, SystemClock.now()).await?;
    let sentences = || format!("{}\n  hint: {}", out::in_zone(&told.explained.join("\n")), told.hint);
    out::one(args.output, &told, || id.to_string(), sentences);
    Ok(Exit::Ok)
}
