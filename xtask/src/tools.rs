//! What is installed, and where: below the user's cache directory, so that each checkout finds it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use retake_build::steps::tools_dir;

use crate::steps::{cargo, command, peek, run, say};

/// Checks licences and sources of dependencies.
const CARGO_DENY: &str = "0.20.2";
/// Checks the spelling.
const TYPOS: &str = "1.52.0";

pub(crate) fn cargo_deny() -> Result<PathBuf> {
    let why = "it checks licences and sources of dependencies";
    from_crates("cargo-deny", CARGO_DENY, why)
}

/// Returns the spelling checker: the wheel, which takes seconds, or without pip the crate, which takes minutes.
pub(crate) fn typos() -> Result<PathBuf> {
    let home = tools_dir()?.join(format!("typos-{TYPOS}"));
    let program = home.join("bin/typos");
    if is_version(&program, TYPOS) {
        return Ok(program);
    }
    if peek(command("python3").args(["-m", "pip", "--version"])).is_none() {
        say("there is no pip, so the spelling checker is built from source");
        return from_crates("typos-cli", TYPOS, "it checks the spelling");
    }
    say(format!("installing typos {TYPOS} with pip into {}: it checks the spelling", home.display()));
    let mut pip = command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target"]);
    pip.env("PIP_ROOT_USER_ACTION", "ignore"); // The directory is our own.
    run(pip.arg(&home).arg(format!("typos=={TYPOS}")))?;
    Ok(program)
}

fn from_crates(name: &str, version: &str, why: &str) -> Result<PathBuf> {
    let home = tools_dir()?.join(format!("{name}-{version}"));
    let program = home.join("bin").join(name.trim_end_matches("-cli"));
    if is_version(&program, version) {
        return Ok(program);
    }
    say(format!("installing {name} {version} from source into {} (some minutes): {why}", home.display()));
    // Unoptimised is fast enough for what it does, and built in a fraction of the time.
    run(cargo()
        .args(["install", "--locked", "--quiet", "--debug", "--root"])
        .arg(&home)
        .arg(format!("{name}@{version}")))?;
    Ok(program)
}

fn is_version(program: &Path, version: &str) -> bool {
    peek(command(program).arg("--version")).is_some_and(|it| it.split_whitespace().any(|it| it == version))
}
