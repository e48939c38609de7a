//! `new` and `build`: from nothing to sources, and from sources to a component.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anstream::eprintln;
use retake_build::{Built, How, Kind, Language, Project};
use retake_core::id::ContentDigest;
use serde::Serialize;

use crate::args::{Args, Build, Format, LanguageWord, New};
use crate::inspect;
use crate::out::{self, Exit, Trouble, bytes};
use crate::progress::Teller;

/// What `new` made.
#[derive(Debug, Serialize)]
struct Made {
    path: String,
    language: &'static str,
}

pub(crate) fn new(args: &Args, typed: &New) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let language = match typed.lang {
        LanguageWord::Rust => Language::Rust,
        LanguageWord::Python => Language::Python,
        LanguageWord::JavaScript => Language::JavaScript,
        LanguageWord::Go => Language::Go,
        LanguageWord::C => Language::C,
    };
    let project = retake_build::create(&typed.name, language).map_err(told)?;
    let path = typed.name.display().to_string();
    let made = Made { path: path.clone(), language: project.language.name() };
    out::one(args.output, &made, || path.clone(), || path.clone());
    if !args.quiet {
        eprintln!("  hint: cd {} && retake run . -p name=Ann", retake_build::steps::quoted(&path));
    }
    Ok(Exit::Ok)
}

/// What `build` made.
#[derive(Debug, Serialize)]
struct Component {
    path: String,
    bytes: u64,
    digest: ContentDigest,
    language: &'static str,
    flows: Vec<String>,
    tasks: Vec<String>,
}

pub(crate) async fn build(args: &Args, typed: &Build) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let project = Project::find(&typed.dir).map_err(told)?;
    let built = run(args.quiet, &project, &AtomicBool::new(false))?;
    let content = inspect::read_file(&built.file)?;
    // What is wrong with its metadata is said now, and not to whoever deploys it.
    let teller = Teller::new(args.quiet);
    teller.wait_for_code("inspecting and compiling", content.len());
    let found = inspect::examine(args, content.clone()).await;
    teller.clear();
    let found = found?;
    let file = match &typed.out {
        Some(out) => {
            write(out, &content)?;
            out
        }
        None => &built.file,
    };
    let component = Component {
        path: file.display().to_string(),
        bytes: found.bytes,
        digest: found.digest,
        language: project.language.name(),
        flows: found.info.flows.iter().map(|it| it.name.clone()).collect(),
        tasks: found.info.tasks.iter().map(|it| it.name.clone()).collect(),
    };
    if !args.quiet && args.output == Format::Table {
        eprintln!("built {} ({}, {})", component.path, bytes(component.bytes), component.digest);
        let tasks = if component.tasks.is_empty() { "none".into() } else { component.tasks.join(", ") };
        eprintln!("flows: {}; tasks: {tasks}", component.flows.join(", "));
    }
    out::one(args.output, &component, || component.digest.to_string(), || component.path.clone());
    Ok(Exit::Ok)
}

/// Writes the component in one step: somebody may be reading it.
fn write(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let partial = file.with_extension(format!("{}.partial", std::process::id()));
    let written = std::fs::write(&partial, content).and_then(|()| std::fs::rename(&partial, file));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        Trouble::new(Exit::Failed, format!("`{}` cannot be written: {error}", file.display()))
            .hint("name another file: `--out FILE`, in a directory that is there")
            .into()
    })
}

/// Builds the component of the project in a directory.
pub(crate) fn component(args: &Args, dir: &Path) -> anyhow::Result<Built> {
    let project = Project::find(dir).map_err(told)?;
    run(args.quiet, &project, &AtomicBool::new(false))
}

/// Builds the component of a project, until it is to stop.
pub(crate) fn run(quiet: bool, project: &Project, stop: &AtomicBool) -> anyhow::Result<Built> {
    let tell = |text: &str| tell(quiet, text);
    Ok(project.build(How { quiet, stop, tell: &tell }).map_err(told)?)
}

/// Says what is done on the way to a component.
pub(crate) fn tell(quiet: bool, text: &str) {
    if !quiet {
        eprintln!("{text}");
    }
}

/// Returns what people are told about a build that failed.
pub(crate) fn told(error: retake_build::Error) -> Trouble {
    let exit = match error.kind {
        Kind::Usage => Exit::Usage,
        Kind::Stopped => Exit::Interrupted,
        Kind::Missing | Kind::Sources | Kind::Machine => Exit::Failed,
    };
    let trouble = error.causes.iter().fold(Trouble::new(exit, error.message), |it, cause| it.cause(cause));
    trouble.hint(error.hint)
}
