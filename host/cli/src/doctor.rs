//! `doctor`: whether this machine can run flows.

use std::sync::Arc;

use retake_store::{MemStore, OpenError, SqliteStore};
use serde::Serialize;

use crate::args::Args;
use crate::local;
use crate::out::{self, Exit};

/// The smallest component that can be compiled and loaded.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

pub(crate) async fn doctor(args: &Args) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let dir = local::data_dir(args)?;
    let mut checks = Vec::new();
    checks.push(match SqliteStore::open_read_only(&dir).and_then(|_| SqliteStore::open(&dir)) {
        Ok(_) => fine("data directory", format!("{} can be written", dir.display())),
        Err(OpenError::Locked { pid, .. }) => {
            let by = pid.map_or_else(|| "another process".to_owned(), |it| format!("process {it}"));
            fine("data directory", format!("{} is in use by {by}", dir.display()))
        }
        Err(OpenError::Missing { .. }) => {
            fine("data directory", format!("{} holds no store yet; the first run makes it", dir.display()))
        }
        Err(OpenError::Damaged { path, problem }) => {
            let found = format!("{} is damaged: {problem}", path.display());
            wrong("data directory", found, "keep a copy of the directory, and go back to a backup")
        }
        Err(error) => wrong("data directory", error.to_string(), "choose another with `--data DIR`"),
    });
    checks.push(match rustix::fs::statvfs(if dir.exists() { dir.as_path() } else { std::path::Path::new(".") }) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{} free", out::bytes(free));
            if free > 1 << 30 { fine("disk", found) } else { wrong("disk", found, "free at least 1 GiB") }
        }
        Err(error) => wrong("disk", error.to_string(), "check the data directory"),
    });
    checks.push(match local::sandbox(dir.is_dir().then_some(&dir), Arc::new(MemStore::new())) {
        Ok(sandbox) => match sandbox.inspect(EMPTY_COMPONENT.to_vec()).await {
            // It is a component, and not one of ours: that is what was to be seen.
            Err(retake_sandbox::Refusal::NoExport(_)) => fine("sandbox", "components can be read".into()),
            other => wrong("sandbox", format!("{other:?}"), "report this"),
        },
        Err(error) => wrong(
            "sandbox",
            error.to_string(),
            "sandboxes need x86-64 or AArch64 and a large address space: `ulimit -v`",
        ),
    });
    checks.push(mappings());
    checks.push(fine(
        "imports",
        "a flow may import retake:flow@0.1.0 and wasi:{cli,clocks,filesystem,io,random,sockets}@0.2".into(),
    ));
    let all = checks.iter().all(|it| it.ok);
    out::list(
        args.output,
        &checks,
        |it| it.check.to_owned(),
        || {
            let mut table = out::table(&["", "CHECK", "FOUND"]);
            for check in &checks {
                let mark = if check.ok { "ok" } else { "WRONG" };
                let hint = check.hint.map(|it| format!("\nhint: {it}")).unwrap_or_default();
                table.add_row([mark.to_owned(), check.check.to_owned(), format!("{}{hint}", out::plain(&check.found))]);
            }
            table
        },
    );
    Ok(if all { Exit::Ok } else { Exit::Failed })
}

/// Each live sandbox costs the kernel a few mappings, of which a process may have only so many.
fn mappings() -> Check {
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|it| it.trim().parse::<u64>().ok());
    match most {
        Some(most) if most < 60_000 => {
            wrong("mappings", format!("vm.max_map_count is {most}"), "`sysctl -w vm.max_map_count=262144`")
        }
        Some(most) => fine("mappings", format!("vm.max_map_count is {most}")),
        None => fine("mappings", "not limited on this system".into()),
    }
}

fn fine(check: &'static str, found: String) -> Check {
    Check { check, ok: true, found, hint: None }
}

fn wrong(check: &'static str, found: String, hint: &'static str) -> Check {
    Check { check, ok: false, found, hint: Some(hint) }
}
