//! What is installed, and where: below the user's cache directory, so that each checkout finds it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use retake_build::steps::tools_dir;

use crate::steps::{cargo, command, peek, root, run, say};

/// Checks licences and sources of dependencies.
const CARGO_DENY: &str = "0.20.2";
/// Checks the spelling.
const TYPOS: &str = "1.52.0";
/// Thinks up requests for an OpenAPI document.
const SCHEMATHESIS: &str = "4.32.0";

pub(crate) fn cargo_deny() -> Result<PathBuf> {
    let why = "it checks licences and sources of dependencies";
    from_crates("cargo-deny", CARGO_DENY, why)
}

/// Returns the spelling checker: the wheel, which takes seconds, or without pip the crate, which takes minutes.
pub(crate) fn typos() -> Result<PathBuf> {
    let home = tools_dir()?.join(format!("typos-{TYPOS}"));
    let program = home.join("bin/typos");
    if is_version(&mut command(&program), TYPOS) {
        return Ok(program);
    }
    if peek(command("python3").args(["-m", "pip", "--version"])).is_none() {
        say("there is no pip, so the spelling checker is built from source");
        return from_crates("typos-cli", TYPOS, "it checks the spelling");
    }
    say(format!("installing typos {TYPOS} with pip into {}: it checks the spelling", home.display()));
    pip(&home, &["--no-deps"], &format!("typos=={TYPOS}"))?;
    Ok(program)
}

/// Returns where schemathesis and what it needs are installed, and its program.
pub(crate) fn schemathesis() -> Result<(PathBuf, PathBuf)> {
    let home = tools_dir()?.join(format!("schemathesis-{SCHEMATHESIS}"));
    let program = home.join("bin/st");
    if !is_version(command(&program).env("PYTHONPATH", &home), SCHEMATHESIS) {
        say(format!("installing schemathesis {SCHEMATHESIS} with pip into {}: it thinks up requests", home.display()));
        pip(&home, &[], &format!("schemathesis=={SCHEMATHESIS}"))?;
    }
    Ok((home, program))
}

/// Checks that there is a browser, and installs what drives it.
pub(crate) fn browser() -> Result<()> {
    if peek(command("chromium").arg("--version")).is_none() {
        say("installing Chromium with apt-get: the web UI is tested in it");
        let install = "apt-get update -qq && apt-get install -y -qq chromium > /dev/null";
        let hint = "Chromium is needed to test the web UI: `apt-get install chromium`, as root";
        run(command("sh").args(["-c", install])).context(hint)?;
    }
    let (dir, stamp) = (root().join("tests/browser"), root().join("tests/browser/node_modules/complete"));
    let lock = std::fs::read_to_string(dir.join("package-lock.json"))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|it| it == lock) {
        return Ok(());
    }
    say("installing what drives the browser with npm into tests/browser/node_modules");
    let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
    run(command("npm").args(quiet).current_dir(&dir).stdout(std::io::stderr()))?;
    Ok(std::fs::write(stamp, lock)?)
}

/// Installs a package into a directory of our own.
fn pip(home: &Path, options: &[&str], package: &str) -> Result<()> {
    let mut pip = command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]).arg(home);
    pip.env("PIP_ROOT_USER_ACTION", "ignore"); // The directory is our own.
    run(pip.args(options).arg(package))
}

fn from_crates(name: &str, version: &str, why: &str) -> Result<PathBuf> {
    let home = tools_dir()?.join(format!("{name}-{version}"));
    let program = home.join("bin").join(name.trim_end_matches("-cli"));
    if is_version(&mut command(&program), version) {
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

fn is_version(program: &mut Command, version: &str) -> bool {
    peek(program.arg("--version")).is_some_and(|it| it.split_whitespace().any(|it| it == version))
}
