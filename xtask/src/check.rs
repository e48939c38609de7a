//! What a change has to pass.

use anyhow::{Context, Result};

use crate::steps::{cargo, command, run, say};
use crate::{demo, suite, tools};

pub(crate) fn ci(args: &[String]) -> Result<()> {
    crate::flags(args, [])?;
    // What takes seconds first.
    say("formatting");
    run(cargo().args(["fmt", "--all", "--check"])).context("`cargo fmt --all` formats")?;
    say("spelling");
    let fix = "correct it, or add the word to typos.toml with a reason";
    run(command(tools::typos()?).args(["--config", "typos.toml"])).context(fix)?;
    say("licences and sources of dependencies");
    let mut deny = command(tools::cargo_deny()?);
    run(deny.args(["--log-level", "error", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))?;
    say("lints");
    run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    crate::guests::build(&crate::guests::Which::All)?;
    suite::build_binary()?;
    demo::walk(true)?;
    suite::test(&[])
}

pub(crate) fn advisories(args: &[String]) -> Result<()> {
    crate::flags(args, [])?;
    let mut deny = command(tools::cargo_deny()?);
    run(deny.args(["--log-level", "error", "check", "advisories"]))
        .context("when the database could not be fetched, this machine cannot check advisories")
}
