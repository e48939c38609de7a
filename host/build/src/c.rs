//! Projects in C: `flows.c` and what lies beside it, compiled by zig's clang to a core module, of which wasm-tools makes a
//! component.
//!
//! zig comes with pip, libc and all, and is installed once. The SDK is the one in the project's `retake-sdk`, or else the
//! one that this binary carries.

use std::path::{Path, PathBuf};

use crate::error::{During, Error, Kind, Result};
use crate::project::{Built, How};
use crate::steps::{Tell, command, sdk, work_until};
use crate::watch::Sources;
use crate::{core, pip};

/// What compiles.
const ZIG: &str = "ziglang==0.17.1";
/// Below the project's directory.
const OUT: &str = "target/retake";

macro_rules! carried {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../guest-sdk/c/", $path)))),*]
    };
}

/// Each file of the SDK with its path. A test compares them with what lies in its directory.
pub(crate) const SDK: &[(&str, &str)] =
    carried!["README.md", "bindings/flow.c", "bindings/flow.h", "check.c", "check.h", "retake.c", "retake.h"];

/// Installs what compiles, and returns it.
pub(crate) fn ensure(dir: &Path, tell: Tell<'_>) -> Result<PathBuf> {
    core::ensure(dir, tell)?;
    let home = pip::ensure(&[ZIG], "zig", "it compiles C for WASI, with a libc", dir, tell)?;
    Ok(home.join("ziglang/zig"))
}

/// Builds the component of the project in `dir`.
pub(crate) fn build(dir: &Path, how: How<'_>) -> Result<Built> {
    let zig = ensure(dir, how.tell)?;
    let out = dir.join(OUT);
    let sdk = sdk(dir, &out, "retake.h", SDK)?;
    std::fs::create_dir_all(&out).during(|| format!("`{}` cannot be made", out.display()))?;
    let name = dir.file_name().map_or_else(|| "flows".into(), |it| it.to_string_lossy().into_owned());
    let (core, file) = (out.join("core.wasm"), dir.join("target").join(format!("{name}.wasm")));
    let mut cc = command(zig, dir);
    cc.args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor", "-std=gnu17", "-O2", "-s"]);
    // zig compiles `assert` out of what it optimises.
    cc.arg("-UNDEBUG");
    // What it says names a file of the project, and not where the project lies on the machine that builds it.
    cc.arg(format!("-ffile-prefix-map={}/=", dir.display()));
    cc.args(["-Wall", "-Wextra", "-Wno-missing-field-initializers", "-I"]).arg(&sdk);
    cc.args(written_in(dir)?)
        .args(["retake.c", "check.c", "bindings/flow.c"].map(|it| sdk.join(it)))
        .arg("-o")
        .arg(&core);
    if !work_until(&mut cc, how.stop)?.success() {
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

/// Returns the sources of a directory, in the order of their names.
fn written_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("`{}` cannot be read", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).during(cannot)? {
        let path = entry.during(cannot)?.path();
        if path.extension().is_some_and(|it| it == "c") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_the_sdk_is_carried() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/c");
        for dir in ["", "bindings/"] {
            for entry in std::fs::read_dir(sdk.join(dir)).unwrap() {
                let name = format!("{dir}{}", entry.unwrap().file_name().to_str().unwrap());
                assert!(
                    ["bindings", "test"].contains(&name.as_str()) || SDK.iter().any(|(it, _)| *it == name),
                    "`{name}` is missing in SDK"
                );
            }
        }
    }

    #[test]
    fn the_sdk_knows_json_from_what_is_none() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/c");
        let out = tempfile::tempdir().unwrap();
        let test = out.path().join("test");
        let mut cc = command("cc", &sdk);
        cc.args(["-std=gnu17", "-Wall", "-Wextra", "-Werror", "check.c", "test/check_test.c", "-o"]).arg(&test);
        assert!(cc.status().unwrap().success());
        assert_eq!(command(&test, &sdk).status().unwrap().code(), Some(0), "what it prints is wrong");
    }
}
