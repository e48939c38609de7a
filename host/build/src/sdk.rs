//! The SDK for Rust as this binary was built with it. It is on no registry yet, so a new project gets its sources.

use crate::error::{Error, Result};

macro_rules! carried {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../guest-sdk/rust/", $path)))),*]
    };
}

/// Each source with its path. A test compares them with what lies in the SDK's directory.
const SOURCES: [(&str, &str); 25] = carried![
    "README.md",
    "src/arguments.rs",
    "src/bindings.rs",
    "src/call.rs",
    "src/context.rs",
    "src/declaration.rs",
    "src/failure.rs",
    "src/host.rs",
    "src/json.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/macro_support.rs",
    "src/policy.rs",
    "src/testing.rs",
    "src/testing/boundary.rs",
    "src/testing/policy.rs",
    "src/testing/world.rs",
    "src/time.rs",
    "src/values.rs",
    "macros/src/component.rs",
    "macros/src/data.rs",
    "macros/src/function.rs",
    "macros/src/lib.rs",
    "macros/src/options.rs",
    "macros/src/units.rs",
];

const MANIFESTS: [(&str, &str); 2] = carried!["Cargo.toml", "macros/Cargo.toml"];

/// What the manifests inherit from.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// What the SDK was tested with.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Returns the SDK's files with their paths; its manifests inherit nothing any more.
pub(crate) fn files() -> Result<Vec<(&'static str, String)>> {
    let mut files: Vec<_> = SOURCES.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    for (path, text) in MANIFESTS {
        files.push((path, resolved(text)?));
    }
    Ok(files)
}

/// Returns a manifest with what it inherits written out, and without what only this workspace is for: its lints, and
/// what tests need.
fn resolved(manifest: &str) -> Result<String> {
    let mut text = String::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if ["[lints]", "[dev-dependencies]"].contains(&section) {
            continue;
        }
        let Some(name) = line.strip_suffix(".workspace = true") else {
            text += &format!("{line}\n");
            continue;
        };
        let inherited = if section == "[package]" { "[workspace.package]" } else { "[workspace.dependencies]" };
        let value = inherit(inherited, name).ok_or_else(|| {
            Error::machine(format!("`{name}` is not in {inherited}")).hint("report this, with `retake version`")
        })?;
        // Within the SDK the way is another.
        text += &format!("{name} = {}\n", value.replace("guest-sdk/rust/", ""));
    }
    Ok(text)
}

fn inherit(section: &str, name: &str) -> Option<&'static str> {
    let (_, rest) = WORKSPACE.split_once(&format!("\n{section}\n"))?;
    let lines = rest.lines().take_while(|it| !it.starts_with('['));
    let (_, value) = lines.filter_map(|it| it.split_once(" = ")).find(|(it, _)| *it == name)?;
    Some(value)
}

/// A package of a lock file.
#[derive(Debug, Clone)]
struct Locked<'a> {
    name: &'a str,
    version: &'a str,
    /// Its lines up to the dependencies.
    head: Vec<&'a str>,
    /// As `name`, or as `name version` where there are several.
    needs: Vec<&'a str>,
}

/// Returns a lock file for a project of this name that needs the SDK and nothing else: the versions that the SDK was
/// tested with, so that a new project does not depend on what was published since.
pub(crate) fn lock(project: &str) -> String {
    let all: Vec<Locked<'_>> = LOCK.split("\n[[package]]\n").skip(1).filter_map(locked).collect();
    let own = Locked { name: project, version: "0.1.0", head: vec![], needs: vec!["retake"] };
    let mut wanted: Vec<Locked<'_>> = vec![own];
    let mut at = 0;
    while let Some(needs) = wanted.get(at).map(|it| it.needs.clone()) {
        for need in needs {
            let found = all.iter().find(|it| it.is(need));
            let new =
                found.filter(|found| !wanted.iter().any(|it| (it.name, it.version) == (found.name, found.version)));
            wanted.extend(new.cloned());
        }
        at += 1;
    }
    wanted.sort_by_key(|it| (it.name, it.version));
    let version = LOCK.split_once("\n[[package]]").map_or("", |(head, _)| head);
    let blocks: Vec<String> = wanted.iter().map(|it| it.text(&wanted)).collect();
    format!("{}\n\n{}", version.trim_end(), blocks.join("\n"))
}

/// Returns the names of the crates that a project is built from.
pub(crate) fn crates() -> Vec<String> {
    let names = |lock: &str| {
        lock.lines().filter_map(|it| Some(it.strip_prefix("name = \"")?.trim_end_matches('"').into())).collect()
    };
    names(&lock(""))
}

fn locked(block: &str) -> Option<Locked<'_>> {
    let field =
        |name: &str| block.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'));
    let name = field("name")?;
    // What only the SDK's tests need is not in the manifest that is written.
    let of_tests = |it: &&str| !(name.starts_with("retake") && ["trybuild", "retake"].contains(it));
    let list = block.split_once("dependencies = [\n").map_or("", |(_, list)| list);
    let needs = list.lines().map_while(|it| it.trim().strip_prefix('"')?.strip_suffix("\",")).filter(of_tests);
    Some(Locked {
        name,
        version: field("version")?,
        head: block.lines().take_while(|it| !it.is_empty() && !it.starts_with("dependencies")).collect(),
        needs: needs.collect(),
    })
}

impl Locked<'_> {
    /// Whether a dependency means this package.
    fn is(&self, need: &str) -> bool {
        match need.split_once(' ') {
            Some((name, version)) => self.name == name && version.split(' ').next() == Some(self.version),
            None => self.name == need,
        }
    }

    fn text(&self, among: &[Locked<'_>]) -> String {
        let head = match self.head.is_empty() {
            true => format!("name = \"{}\"\nversion = \"{}\"", self.name, self.version),
            false => self.head.join("\n"),
        };
        // A version is named only where there are several.
        let short = |need: &&str| -> String {
            let name = need.split(' ').next().unwrap_or(need);
            if among.iter().filter(|it| it.name == name).count() == 1 { name.into() } else { (*need).into() }
        };
        let needs: String = self.needs.iter().map(|it| format!(" \"{}\",\n", short(it))).collect();
        let needs = if needs.is_empty() { needs } else { format!("dependencies = [\n{needs}]\n") };
        format!("[[package]]\n{head}\n{needs}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_source_of_the_sdk_is_carried() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/rust");
        for dir in ["src", "src/testing", "macros/src"] {
            for entry in std::fs::read_dir(sdk.join(dir)).unwrap() {
                let path = format!("{dir}/{}", entry.unwrap().file_name().to_str().unwrap());
                assert!(sdk.join(&path).is_file() || path == "src/testing", "`{path}` is looked at by nobody");
                assert!(
                    path == "src/testing" || SOURCES.iter().any(|(it, _)| *it == path),
                    "`{path}` is missing in SOURCES"
                );
            }
        }
    }

    #[test]
    fn manifests_inherit_nothing() {
        let files = files().unwrap();
        let manifest = |path: &str| &files.iter().find(|(it, _)| *it == path).unwrap().1;
        for path in ["Cargo.toml", "macros/Cargo.toml"] {
            let text = manifest(path);
            assert!(!text.contains("workspace"), "{text}");
            assert!(text.contains("edition = \"2024\"") && text.contains("[dependencies]\n"), "{text}");
            assert!(!text.contains("trybuild") && !text.contains("[lints]"), "{text}");
        }
        assert!(manifest("Cargo.toml").contains("retake-macros = { path = \"macros\" }"), "{}", manifest("Cargo.toml"));
    }

    #[test]
    fn the_lock_file_holds_what_the_sdk_needs_and_nothing_of_the_host() {
        let lock = lock("hello");
        for name in ["hello", "retake", "retake-macros", "serde", "wit-bindgen"] {
            assert!(lock.contains(&format!("\nname = \"{name}\"\n")), "no `{name}` in {lock}");
        }
        for name in ["wasmtime", "tokio", "trybuild", "retake-core"] {
            assert!(!lock.contains(&format!("\nname = \"{name}\"\n")), "`{name}` in {lock}");
        }
        assert!(crates().contains(&"serde_json".to_owned()));
    }
}
