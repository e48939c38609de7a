//! Saying what is done, and running other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Says what is done next.
pub(crate) fn say(text: impl AsRef<str>) {
    eprintln!("==> {}", text.as_ref());
}

/// Returns the workspace's directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's directory")
}

/// Returns a command that runs in the workspace's directory.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Returns a command of the cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `cargo run` sets these for us. Crates that look at them would be built twice.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command to its end, its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    check(command.status(), command)
}

/// Runs a command to its end and returns what it printed on stdout.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let status = output.as_ref().map(|it| it.status);
    check(status.map_err(|it| std::io::Error::from(it.kind())), command)?;
    Ok(String::from_utf8_lossy(&output?.stdout).into_owned())
}

/// Runs a command without showing anything, and returns what it printed on stdout if it succeeded.
pub(crate) fn peek(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command for at most this long. Whether it succeeded is for the caller to find out.
pub(crate) fn run_at_most(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| format!("`{}`", shown(command)))?;
    let until = Instant::now() + limit;
    while running(&mut child)? {
        if Instant::now() >= until {
            say(format!("`{}` took longer than {} s and is stopped", shown(command), limit.as_secs()));
            child.kill()?;
            child.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn running(child: &mut Child) -> Result<bool> {
    Ok(child.try_wait()?.is_none())
}

fn check(status: std::io::Result<ExitStatus>, command: &Command) -> Result<()> {
    let status = status.with_context(|| format!("`{}` could not be started", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Returns a command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program()).to_owned();
    let words = std::iter::once(program.as_os_str()).chain(command.get_args());
    words.map(|it| quoted(&it.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,@+".contains(c);
    if word.chars().all(plain) && !word.is_empty() { word.to_owned() } else { format!("'{word}'") }
}

/// Returns the directory that cargo builds into.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names no target directory")?.into())
}

/// Returns what cargo knows of the workspace's packages.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let text = read(cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
    serde_json::from_str(&text).context("cargo metadata printed no JSON")
}
