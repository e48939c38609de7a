//! Building components, and the bindings they are built with.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use retake_build::wasi::Toolchain;
use retake_build::{How, Project};

use crate::steps::{cargo, metadata, root, run, say};

/// Returns the directory where components are put.
pub(crate) fn components() -> PathBuf {
    root().join("target/components")
}

/// A package that becomes a component.
struct Guest {
    package: String,
    /// The file's name without its end.
    library: String,
}

/// Which components are built.
pub(crate) enum Which {
    All,
    /// What the demo shows.
    Examples,
    Named(Vec<String>),
}

pub(crate) fn guests(args: &[String]) -> Result<()> {
    let which = if args.is_empty() { Which::All } else { Which::Named(args.to_vec()) };
    let built = build(&which)?;
    say(format!("{} components in target/components", built.len()));
    Ok(())
}

/// Builds components and returns where they are.
pub(crate) fn build(which: &Which) -> Result<Vec<PathBuf>> {
    let metadata = metadata()?;
    let target = PathBuf::from(metadata["target_directory"].as_str().context("no target directory")?);
    let guests = chosen(find(&metadata), which)?;
    let toolchain = Toolchain::ensure(root(), &|it| say(it))?;
    say(format!("building {} components", guests.len()));
    let (mut build, out) = toolchain.build(root(), &target);
    build.args(["--quiet", "--profile", "guest"]);
    for guest in &guests {
        build.args(["-p", &guest.package]);
    }
    run(&mut build)?;
    // Where tests look for them, whatever directory cargo builds into.
    let components = components();
    std::fs::create_dir_all(&components)?;
    let mut built = Vec::new();
    for guest in &guests {
        let file = format!("{}.wasm", guest.library);
        let made = out.join("guest").join(&file);
        let bytes = std::fs::read(&made).with_context(|| format!("`{}` was not built", made.display()))?;
        let place = components.join(&file);
        put(&place, &bytes)?;
        built.push(place);
    }
    if matches!(which, Which::All) {
        built.push(published(&toolchain, &target)?);
        let python = ["example-flows/python", "guest-sdk/python/src", "host/build/src/python.rs"];
        built.push(examples("python", &python)?);
        let javascript = ["example-flows/javascript", "guest-sdk/javascript", "host/build/src/javascript.rs"];
        built.push(examples("javascript", &javascript)?);
        built.push(examples("go", &["example-flows/go", "guest-sdk/go", "host/build/src/go.rs"])?);
        built.push(examples("c", &["example-flows/c", "guest-sdk/c", "host/build/src/c.rs"])?);
    }
    Ok(built)
}

/// Builds a program as it is published, which nobody made for us, unless it is there.
fn published(toolchain: &Toolchain, target: &Path) -> Result<PathBuf> {
    const PROGRAM: &str = "uu_factor@0.12.0";
    let (place, stamp) = (components().join("factor.wasm"), components().join("factor.of"));
    if place.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|it| it == PROGRAM) {
        return Ok(place);
    }
    say(format!("building {PROGRAM} as it is published, for the tests of the bare door"));
    let (mut install, into) = toolchain.cargo("install", root(), target);
    run(install.args(["--quiet", "--locked", "--force", "--root"]).arg(&into).arg(PROGRAM))?;
    put(&place, &std::fs::read(into.join("bin/factor.wasm"))?)?;
    std::fs::write(stamp, PROGRAM)?;
    Ok(place)
}

/// Builds the examples in a language, unless they are built of what there is: it takes a while, and where an interpreter
/// is put into them it gives other bytes each time.
fn examples(language: &str, made_of: &[&str]) -> Result<PathBuf> {
    let (place, stamp) = (components().join(format!("{language}.wasm")), components().join(format!("{language}.of")));
    let of = hash(&[made_of, &["wit/v0.1", "host/build/src/core.rs"]].concat())?;
    if place.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|it| it == of) {
        return Ok(place);
    }
    say(format!("building the examples in {language}"));
    let how = How { quiet: true, stop: &AtomicBool::new(false), tell: &|it| say(it) };
    let built = Project::find(&root().join("example-flows").join(language))?.build(how)?;
    put(&place, &std::fs::read(built.file)?)?;
    std::fs::write(stamp, of)?;
    Ok(place)
}

/// Returns what tells these files and directories from others.
fn hash(paths: &[&str]) -> Result<String> {
    let mut open: Vec<PathBuf> = paths.iter().map(|it| root().join(it)).collect();
    let mut files = BTreeMap::new();
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default();
        if name == "target" || name == "__pycache__" || name == "node_modules" {
            continue;
        }
        match path.is_dir() {
            true => {
                open.extend(std::fs::read_dir(&path)?.map(|it| it.map(|it| it.path())).collect::<Result<Vec<_>, _>>()?)
            }
            false => drop(files.insert(path.clone(), std::fs::read(&path)?)),
        }
    }
    let mut hasher = std::hash::DefaultHasher::new();
    files.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// Returns the packages that lie where guests lie and become a component.
fn find(metadata: &serde_json::Value) -> Vec<Guest> {
    let homes = [root().join("example-flows"), root().join("tests/guests")];
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let guest = |package: &serde_json::Value| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        let targets = package["targets"].as_array()?;
        let is_component =
            |it: &&serde_json::Value| it["crate_types"].as_array().is_some_and(|it| it.contains(&"cdylib".into()));
        let library = targets.iter().find(is_component)?["name"].as_str()?.to_owned();
        let at_home = homes.iter().any(|it| manifest.starts_with(it));
        at_home.then_some(Guest { package: package["name"].as_str()?.to_owned(), library })
    };
    packages.filter_map(guest).collect()
}

fn chosen(all: Vec<Guest>, which: &Which) -> Result<Vec<Guest>> {
    match which {
        Which::All => Ok(all),
        Which::Examples => Ok(all.into_iter().filter(|it| it.package.starts_with("example-")).collect()),
        Which::Named(names) => {
            if let Some(name) = names.iter().find(|name| all.iter().all(|it| it.package != **name)) {
                let known: Vec<_> = all.iter().map(|it| it.package.as_str()).collect();
                bail!("no package `{name}` becomes a component; these do: {}", known.join(", "));
            }
            Ok(all.into_iter().filter(|it| names.contains(&it.package)).collect())
        }
    }
}

/// Writes a file in one step, because somebody may be reading it; not at all when it is there already.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, path).with_context(|| path.display().to_string())
}

/// Makes the SDK's bindings from the contract. The work is done in `xtask/wit`, which takes longer to build than we do.
pub(crate) fn bindings(args: &[String]) -> Result<()> {
    crate::flags(args, ["--check"])?;
    run(cargo().args(["run", "--quiet", "--package", "xtask-wit", "--"]).args(args))
}
