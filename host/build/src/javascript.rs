//! Projects in JavaScript and TypeScript: bundled by esbuild, and made a component of by componentize-js, engine and all.
//!
//! Both come with npm and are installed once for all projects; the SDK's own `build.mjs` does the work. The SDK is the one in
//! the project's `retake-sdk`, or else the one that this binary carries.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::project::{Built, How};
use crate::steps::{Tell, WIT, command, peek, sdk, tools_dir, work, work_until, write};
use crate::watch::Sources;

/// The oldest Node.js that runs the tools.
const OLDEST_NODE: u32 = 20;
/// What is installed, as a `package.json`.
const TOOLS: &str = include_str!("../../../guest-sdk/javascript/tools.json");
/// The name of the directory for it.
const HOME: &str = "componentize-js-0.23.0";
/// Below the project's directory.
const OUT: &str = "target/retake";

macro_rules! carried {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../guest-sdk/javascript/", $path)))),*]
    };
}

/// Each file of the SDK with its path. A test compares them with what lies in its directory.
pub(crate) const SDK: &[(&str, &str)] = carried![
    "README.md",
    "build.mjs",
    "package.json",
    "src/component.js",
    "src/declare.js",
    "src/failure.js",
    "src/host.js",
    "src/index.d.ts",
    "src/index.js",
    "src/json.js",
    "src/kept.js",
    "src/missing.js",
    "src/policy.js",
    "src/schema.js",
    "src/sourcemap.js",
    "src/testing.d.ts",
    "src/testing.js",
    "src/waiting.js",
    "tools.json",
];

/// Checks that Node.js and npm are there, and installs the tools.
pub(crate) fn ensure(dir: &Path, tell: Tell<'_>) -> Result<PathBuf> {
    let hint = "`apt-get install nodejs npm`, or what this machine has for it";
    let said = peek(command("node", dir).arg("--version")).unwrap_or_default();
    let version = said.trim().trim_start_matches('v').split('.').next().and_then(|it| it.parse::<u32>().ok());
    if version.is_none_or(|it| it < OLDEST_NODE) {
        let said =
            if said.is_empty() { "`node` does not answer".to_owned() } else { format!("this is {}", said.trim()) };
        return Err(Error::new(Kind::Missing, format!("Node.js {OLDEST_NODE} or later is needed, and {said}"), hint));
    }
    if peek(command("npm", dir).arg("--version")).is_none() {
        return Err(Error::new(Kind::Missing, "npm is needed, and `npm` does not answer", hint));
    }
    let home = tools_dir()?.join(HOME);
    if !home.join("complete").is_file() {
        tell(&format!("installing componentize-js, esbuild and TypeScript with npm into {}: 400 MB", home.display()));
        write(&home.join("package.json"), TOOLS)?;
        work(&mut npm_install(&home))?;
        write(&home.join("complete"), "")?;
    }
    Ok(home)
}

/// Installs what a `package.json` lists. Nothing of it is run.
fn npm_install(dir: &Path) -> Command {
    let mut npm = command("npm", dir);
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]);
    npm
}

/// Builds the component of the project in `dir`.
pub(crate) fn build(dir: &Path, how: How<'_>) -> Result<Built> {
    let home = ensure(dir, how.tell)?;
    let out = dir.join(OUT);
    let about = About::read(dir)?;
    // A package that was added since is installed, too.
    if about.packages.iter().any(|it| !dir.join("node_modules").join(it).is_dir()) {
        (how.tell)("installing the packages that the project depends on, with npm");
        work(&mut npm_install(dir))?;
    }
    write(&out.join("wit/flow.wit"), WIT)?;
    let sdk = sdk(dir, &out, "build.mjs", SDK)?;
    if !how.quiet {
        (how.tell)("building the component, which takes some seconds: an engine is put into it, and started");
    }
    let (made, file) = (out.join("component.wasm"), dir.join("target").join(format!("{}.wasm", about.name)));
    let mut node = command("node", dir);
    node.arg(sdk.join("build.mjs")).arg(dir).arg(&made).arg(out.join("wit")).env("RETAKE_TOOLS", &home);
    if !work_until(&mut node, how.stop)?.success() {
        let message = format!("`{}` does not build", dir.display());
        return Err(Error::new(Kind::Sources, message, "mend what stands above, and try again"));
    }
    std::fs::rename(&made, &file).map_err(|it| Error::machine(format!("`{}`", file.display())).cause(it))?;
    Ok(Built { file })
}

/// Returns the files of the project.
pub(crate) fn sources(dir: &Path) -> Sources {
    Sources::new(vec![dir.to_owned()], vec![dir.join("target"), dir.join("node_modules")])
}

/// What a project says about itself.
struct About {
    name: String,
    /// What it depends on.
    packages: Vec<String>,
}

impl About {
    fn read(dir: &Path) -> Result<Self> {
        let file = dir.join("package.json");
        let wrong = |what: String| {
            let hint = "`retake new NAME --lang javascript` makes a project to compare with";
            Error::new(Kind::Sources, format!("`{}`: {what}", file.display()), hint)
        };
        let text = std::fs::read_to_string(&file).map_err(|it| wrong(it.to_string()))?;
        let read: Value = serde_json::from_str(&text).map_err(|it| wrong(it.to_string()))?;
        // `@scope/name` is called as what follows.
        let name = read["name"].as_str().and_then(|it| it.rsplit('/').next()).unwrap_or_default();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.trim_matches('.').is_empty() || !name.chars().all(fits) {
            return Err(wrong("there is no `name`, or none that a file can have".into()));
        }
        let packages = read["dependencies"].as_object().into_iter().flat_map(|it| it.keys());
        let packages = packages.filter(|it| *it != "retake").cloned().collect();
        Ok(Self { name: name.to_owned(), packages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_the_sdk_is_carried() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/javascript");
        for dir in ["", "src/"] {
            for entry in std::fs::read_dir(sdk.join(dir)).unwrap() {
                let name = format!("{dir}{}", entry.unwrap().file_name().to_str().unwrap());
                let is_beside = ["src", "test", "node_modules"].contains(&name.as_str());
                assert!(is_beside || SDK.iter().any(|(it, _)| *it == name), "`{name}` is missing in SDK");
            }
        }
        assert!(TOOLS.contains(HOME.rsplit('-').next().unwrap()), "the directory is called after what is in it");
    }

    #[test]
    fn a_project_says_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            std::fs::write(dir.path().join("package.json"), text).unwrap();
            About::read(dir.path()).map(|it| (it.name, it.packages.len())).map_err(|it| it.message)
        };
        assert_eq!(of(r#"{"name": "@team/hello"}"#).unwrap(), ("hello".into(), 0));
        assert_eq!(of(r#"{"name": "a", "dependencies": {"retake": "*", "zod": "4"}}"#).unwrap(), ("a".into(), 1));
        assert!(of("{}").unwrap_err().contains("there is no `name`"));
        assert!(of(r#"{"name": ".."}"#).is_err());
        assert!(of("{").unwrap_err().contains("package.json"));
    }
}
