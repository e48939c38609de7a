//! Projects in Rust: a crate that becomes a `cdylib` for `wasm32-wasip2`, which already is a component.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::project::{Built, How};
use crate::steps::{cargo, not_started, read, until_ended};
use crate::wasi::Toolchain;
use crate::watch::Sources;

/// Builds the component of the crate in `dir`.
pub(crate) fn build(dir: &Path, how: How<'_>) -> Result<Built> {
    let toolchain = Toolchain::ensure(dir, how.tell)?;
    let metadata = metadata(dir)?;
    let manifest = component(&metadata, dir)?;
    let (mut build, _) = toolchain.build(dir, &target(&metadata));
    build.args(["--release", "--lib", "--message-format=json-render-diagnostics", "--manifest-path"]).arg(&manifest);
    if how.quiet {
        build.arg("--quiet");
    }
    let file = made(&mut build, &manifest, how)?;
    Ok(Built { file })
}

/// Returns the files of the crate and of those beside it that it is built from.
pub(crate) fn sources(dir: &Path) -> Result<Sources> {
    let metadata = metadata(dir)?;
    let mut roots = vec![dir.to_owned()];
    let mut at = 0;
    while let Some(root) = roots.get(at).cloned() {
        let of_root = |it: &&Value| path(&it["manifest_path"]).is_some_and(|it| it.parent() == Some(&root));
        for package in list(&metadata["packages"]).iter().filter(of_root) {
            let beside = list(&package["dependencies"]).iter().filter_map(|it| path(&it["path"]));
            let new: Vec<_> = beside.filter(|it| !roots.iter().any(|root| it.starts_with(root))).collect();
            roots.extend(new);
        }
        at += 1;
    }
    Ok(Sources::new(roots, vec![target(&metadata)]))
}

fn metadata(dir: &Path) -> Result<Value> {
    let text = read(cargo(dir).args(["metadata", "--no-deps", "--format-version=1"])).map_err(|it| match it.kind {
        Kind::Missing => it,
        _ => Error::new(Kind::Sources, format!("cargo cannot read the project in `{}`", dir.display()), ABOVE),
    })?;
    serde_json::from_str(&text).map_err(|it| Error::machine("`cargo metadata` printed no JSON").cause(it))
}

const ABOVE: &str = "mend what cargo says above, and try again";

/// How many crates are named where one has to be chosen: a hint is to be read.
const NAMED: usize = 5;

fn target(metadata: &Value) -> PathBuf {
    path(&metadata["target_directory"]).unwrap_or_else(|| "target".into())
}

/// Returns the manifest of the crate in `dir` that becomes a component; where `dir` is that of a workspace without a
/// crate, of the only one in it.
fn component(metadata: &Value, dir: &Path) -> Result<PathBuf> {
    // What cargo names is without symbolic links.
    let same = |it: &Path| it.canonicalize().ok() == dir.join("Cargo.toml").canonicalize().ok();
    let becomes_one =
        |it: &&Value| list(&it["targets"]).iter().any(|it| list(&it["crate_types"]).iter().any(|it| it == "cdylib"));
    let all = list(&metadata["packages"]);
    let manifest = |it: &Value| path(&it["manifest_path"]).unwrap_or_default();
    if let Some(own) = all.iter().find(|it| same(&manifest(it))) {
        return match becomes_one(&own) {
            true => Ok(manifest(own)),
            false => Err(Error::new(
                Kind::Sources,
                format!("the crate in `{}` does not become a component", dir.display()),
                "add to its `Cargo.toml`: `[lib]`, and below it `crate-type = [\"cdylib\"]`",
            )),
        };
    }
    let found: Vec<PathBuf> = all.iter().filter(becomes_one).map(manifest).collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::new(
            Kind::Sources,
            format!("no crate of the workspace in `{}` becomes a component", dir.display()),
            "add to the `Cargo.toml` of one: `[lib]`, and below it `crate-type = [\"cdylib\"]`",
        )),
        several => {
            let mut dirs: Vec<String> = several.iter().take(NAMED).filter_map(|it| Some(near(it.parent()?))).collect();
            if several.len() > NAMED {
                dirs.push("…".into());
            }
            let message = format!("several crates of the workspace in `{}` become components", dir.display());
            Err(Error::new(Kind::Usage, message, format!("name the directory of one: {}", dirs.join(", "))))
        }
    }
}

fn near(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    format!("`{}`", path.strip_prefix(here).unwrap_or(path).display())
}

/// Runs cargo, and returns the component of the crate of this manifest.
fn made(build: &mut Command, manifest: &Path, how: How<'_>) -> Result<PathBuf> {
    let spawned = build.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|it| not_started(build, &it))?;
    let lines = BufReader::new(child.stdout.take().expect("was asked for")).lines();
    let of_manifest = |line: &str| -> Option<PathBuf> {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["reason"] == "compiler-artifact" && path(&message["manifest_path"])? == manifest;
        let files = list(&message["filenames"]).iter().filter_map(path);
        files.filter(|_| is_it).find(|it| it.extension().is_some_and(|it| it == "wasm"))
    };
    let found = std::thread::scope(|scope| {
        // Read all the while: cargo waits where nobody does.
        let reading = scope.spawn(|| lines.map_while(|it| it.ok()).filter_map(|it| of_manifest(&it)).last());
        until_ended(&mut child, build, how.stop)?;
        Ok(reading.join().unwrap_or_default())
    })?;
    let dir = manifest.parent().unwrap_or(manifest).display();
    match (child.wait(), found) {
        (Ok(status), Some(file)) if status.success() => Ok(file),
        (Ok(status), None) if status.success() => Err(Error::machine(format!("cargo built no component of `{dir}`"))),
        _ => Err(Error::new(Kind::Sources, format!("`{dir}` does not build"), ABOVE)),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn path(value: &Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn crates(kinds: &[(&str, &str)]) -> Value {
        let package = |(dir, kind): &(&str, &str)| {
            json!({
                "manifest_path": format!("/nowhere/{dir}/Cargo.toml"),
                "targets": [{ "crate_types": [kind] }],
            })
        };
        json!({ "packages": kinds.iter().map(package).collect::<Vec<_>>() })
    }

    #[test]
    fn the_only_crate_of_a_workspace_that_becomes_a_component_is_built() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Cargo.toml"), "").unwrap();
        let in_dir = |all: &[(&str, &str)]| component(&crates(all), dir.path());
        assert_eq!(in_dir(&[("a", "lib"), ("b", "cdylib")]).unwrap(), Path::new("/nowhere/b/Cargo.toml"));
        assert!(in_dir(&[("a", "lib")]).unwrap_err().hint.contains("crate-type = [\"cdylib\"]"));
        assert!(in_dir(&[("a", "cdylib"), ("b", "cdylib")]).unwrap_err().hint.contains("`/nowhere/a`, `/nowhere/b`"));
    }
}
