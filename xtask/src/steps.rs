//! Saying what is done, and running other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
pub(crate) use retake_build::steps::{peek, read};

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
    retake_build::steps::command(program, root())
}

/// Returns a command of the cargo that runs us, in the workspace's directory.
pub(crate) fn cargo() -> Command {
    retake_build::steps::cargo(root())
}

/// Runs a command to its end, its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    Ok(retake_build::steps::run(command)?)
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
