//! `inspect`: what a component file holds.

use std::path::Path;
use std::sync::Arc;

use retake_core::component::{AskedLimits, Capability, FlowInfo, TaskInfo};
use retake_core::limits;
use retake_core::retry::{Action, Delay, RetryPolicy, Rule, WhenExhausted};
use retake_core::value::Json;
use retake_sandbox::{Inspection, Refusal};
use retake_store::MemStore;

use crate::args::Args;
use crate::author;
use crate::local;
use crate::out::{self, Exit, Trouble, bytes, took};
use retake_server::wire::InspectionView;

pub(crate) async fn inspect(args: &Args, typed: &crate::args::Inspect) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let inspection = match is_file(&typed.target) {
        true => look_into(args, typed.target.as_ref()).await?,
        false => {
            let store = local::look(args)?.ok_or_else(|| unknown(&typed.target))?;
            let (digest, _) = crate::run::find_flow(store.as_ref(), &typed.target).await?;
            examine(args, store.component_bytes(digest).await?).await?
        }
    };
    let view = InspectionView {
        digest: inspection.digest,
        bytes: inspection.bytes,
        info: inspection.info.clone(),
        imports: inspection.imports.clone(),
    };
    out::one(args.output, &view, || inspection.digest.to_string(), || table(&inspection));
    Ok(Exit::Ok)
}

/// Inspects a file without opening the store: compiled code is kept all the same.
pub(crate) async fn look_into(args: &Args, file: &Path) -> anyhow::Result<Inspection> {
    examine(args, read(args, file)?).await
}

/// There is nothing in the data directory to find a flow in.
pub(crate) fn unknown(target: &str) -> Trouble {
    if Path::new(target).is_dir() {
        let message = format!("`{target}` is a directory that holds no project, and no flow is called so");
        return Trouble::new(Exit::NotFound, message).hint(format!("`retake build {target}` says what it lacks"));
    }
    let message = format!("there is no file and no flow called `{target}`");
    Trouble::new(Exit::NotFound, message).hint("name a component file, which ends with `.wasm`")
}

pub(crate) async fn examine(args: &Args, content: Vec<u8>) -> anyhow::Result<Inspection> {
    let sandbox = local::sandbox(Some(&local::data_dir(args)?), Arc::new(MemStore::new()))?;
    let inspection = sandbox.inspect(content).await.map_err(refused)?;
    retake_engine::check_schemas(&inspection.info).map_err(|it| refused(Refusal::Metadata(it)))?;
    Ok(inspection)
}

/// Whether a target means a file or a project, and not the name of a flow.
pub(crate) fn is_file(target: &str) -> bool {
    names_file(target) || Path::new(target).components().count() > 1
}

/// Whether a target of a server's command means a file or a project: `flow/name` is a deployment there.
pub(crate) fn names_file(target: &str) -> bool {
    let path = Path::new(target);
    path.extension().is_some_and(|it| it.eq_ignore_ascii_case("wasm"))
        || path.is_file()
        || retake_build::Language::of_file(path).is_some()
        || names_project(path)
}

/// Whether a directory is meant: one that holds a project, or that can be nothing else. A flow may be called like some
/// other directory.
fn names_project(path: &Path) -> bool {
    let says_so = path.is_absolute() || path.starts_with(".") || path.starts_with("..");
    path.is_dir() && (says_so || retake_build::Project::is_in(path))
}

/// Reads a component: a file, or what is built of the project in a directory.
pub(crate) fn read(args: &Args, path: &Path) -> anyhow::Result<Vec<u8>> {
    match (path.is_dir(), retake_build::Language::of_file(path)) {
        (true, _) => read_file(&author::component(args, path)?.file),
        (false, Some(language)) => Err(a_source(path, language).into()),
        (false, None) => read_file(path),
    }
}

/// A source file is no component, but the project that it is in makes one.
fn a_source(path: &Path, language: retake_build::Language) -> Trouble {
    let (shown, name) = (path.display(), language.name());
    let message = match path.exists() {
        true => format!("`{shown}` is a source file in {name}, and no component"),
        false => format!("`{shown}` is not there"),
    };
    let dir = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let exit = if path.exists() { Exit::Usage } else { Exit::NotFound };
    Trouble::new(exit, message).hint(match retake_build::Project::is_in(dir) {
        true => format!("name the directory of its project, `{}`: it is built first", dir.display()),
        false => {
            format!("`retake new NAME --lang {name}` makes a project: move the file there, and name its directory")
        }
    })
}

/// What is said when a directory is built, and a flow is called so too.
pub(crate) fn also_a_flow(target: &str) -> String {
    format!("`{target}` is the directory of a project, which is built, and the name of a flow: elsewhere that is run")
}

/// Reads a component file, as far as one may be long.
pub(crate) fn read_file(file: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let shown = file.display();
    let cannot = |error: std::io::Error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            std::io::ErrorKind::PermissionDenied => Exit::Denied,
            _ => Exit::Usage,
        };
        let hint = "`retake build DIR` builds a component and says where it is";
        Trouble::new(exit, format!("`{shown}` cannot be read: {error}")).hint(hint)
    };
    let opened = std::fs::File::open(file).map_err(cannot)?;
    let mut content = Vec::new();
    opened.take(limits::COMPONENT_BYTES as u64 + 1).read_to_end(&mut content).map_err(cannot)?;
    Ok(content)
}

/// An upload that was refused is a usage error with a hint.
pub(crate) fn refused(refusal: Refusal) -> anyhow::Error {
    let mut trouble = Trouble::new(Exit::Usage, refusal.to_string());
    if let Refusal::Describe(failure) = &refusal
        && let Some(details) = &failure.details
    {
        // What the guest wrote says more than where it stopped.
        let wrote = details.to_value()["stderr"].as_str().map(|it| out::plain(it.trim_end()));
        trouble = trouble.cause(wrote.filter(|it| !it.is_empty()).as_deref().unwrap_or(details.as_str()));
    }
    trouble.hint(refusal.hint()).into()
}

fn table(found: &Inspection) -> String {
    let info = &found.info;
    let mut lines = vec![
        format!("component  {} {}", info.name, info.version),
        format!("digest     {}", found.digest),
        format!("size       {}", bytes(found.bytes)),
    ];
    if !info.description.is_empty() {
        lines.push(format!("about      {}", info.description));
    }
    for flow in &info.flows {
        lines.push(String::new());
        lines.push(format!("flow {}", flow.name));
        lines.extend(flow_lines(flow));
    }
    for task in &info.tasks {
        lines.push(String::new());
        lines.push(format!(
            "task {} (version {})",
            task.name,
            if task.version.is_empty() { "-" } else { &task.version }
        ));
        lines.extend(task_lines(task));
    }
    lines.push(String::new());
    lines.push(format!("imports    {} interfaces, all offered by this host", found.imports.len()));
    if let Some(it) = found.used.iter().max_by_key(|it| it.got * 1000 / it.most) {
        lines.push(format!("bounds     within all of them; nearest: {} {}, at most {}", it.got, it.what, it.most));
    }
    out::plain(&lines.join("\n"))
}

fn flow_lines(flow: &FlowInfo) -> Vec<String> {
    let mut lines = about(&flow.description);
    lines.push(format!("  takes    {}", fields(&flow.parameters)));
    lines.extend(flow.returns.as_ref().map(returns));
    lines.push(format!("  retries  {}", policy(&flow.retry)));
    lines.extend(asks(&flow.limits, &flow.capabilities));
    lines
}

fn task_lines(task: &TaskInfo) -> Vec<String> {
    let mut lines = about(&task.description);
    lines.push(format!("  takes    {}", fields(&task.input)));
    lines.extend(task.returns.as_ref().map(returns));
    lines.push(format!("  retries  {}", policy(&task.retry)));
    lines.extend(asks(&task.limits, &task.capabilities));
    lines
}

fn returns(schema: &Json) -> String {
    let schema = schema.to_value();
    format!("  returns  {}", kind(&schema, &schema, 0))
}

fn about(description: &str) -> Vec<String> {
    description.lines().map(|it| format!("  {it}").trim_end().to_owned()).collect()
}

/// The properties of a schema on one line; a `?` for what may be left out.
fn fields(schema: &Json) -> String {
    let schema = schema.to_value();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(|it| it.as_str()).collect();
    let Some(properties) = schema["properties"].as_object().filter(|it| !it.is_empty()) else {
        return "nothing".into();
    };
    let field = |(name, property): (&String, &serde_json::Value)| {
        let kind = kind(property, &schema, 0);
        let optional = if required.contains(&name.as_str()) { "" } else { "?" };
        match property.get("default") {
            None => format!("{name}{optional}: {kind}"),
            Some(default) => format!("{name}{optional}: {kind} = {default}"),
        }
    };
    properties.iter().map(field).collect::<Vec<_>>().join(", ")
}

/// What a schema lets pass, in a word or a few.
fn kind(schema: &serde_json::Value, root: &serde_json::Value, depth: usize) -> String {
    use serde_json::Value;
    let of = |it: &Value| kind(it, root, depth + 1);
    let target = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')).and_then(|it| root.pointer(it));
    let parts = ["enum", "anyOf", "oneOf", "allOf"].into_iter().find_map(|it| Some((it, schema[it].as_array()?)));
    let mut words: Vec<String> = match (&schema["type"], target, parts) {
        // A schema may refer to itself.
        _ if depth > 8 => Vec::new(),
        (_, _, Some(("enum", values))) => values.iter().map(Value::to_string).collect(),
        (_, _, Some((_, parts))) => parts.iter().map(of).collect(),
        (_, Some(target), _) => vec![of(target)],
        (Value::String(kind), ..) => match (&schema["const"], kind.as_str()) {
            (Value::Null, "array") if schema["items"].is_object() => vec![format!("array of {}", of(&schema["items"]))],
            (Value::Null, "object") if schema["additionalProperties"].is_object() => {
                vec![format!("object of {}", of(&schema["additionalProperties"]))]
            }
            // What a text stands for says more than that it is one.
            (Value::Null, "string") => {
                let more = schema["format"].as_str().or(schema["contentEncoding"].as_str());
                vec![more.map_or_else(|| kind.clone(), out::one_line)]
            }
            (Value::Null, _) => vec![kind.clone()],
            (value, _) => vec![value.to_string()],
        },
        (Value::Array(kinds), ..) => kinds.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    // The same word twice says nothing more, and null is best seen at the end.
    words.sort_by_key(|it| it == "null");
    words.dedup();
    if words.is_empty() { "any".into() } else { words.join("|") }
}

/// A policy in a sentence.
pub(crate) fn policy(policy: &RetryPolicy) -> String {
    if policy.retries == 0 && policy.rules.is_empty() {
        return "none".into();
    }
    let mut text = format!("{}, {}", policy.retries, delay(&policy.delay));
    if let Some(most) = policy.delay_max {
        text += &format!(", at most {}", took(most));
    }
    if policy.jitter_permille > 0 {
        text += &format!(", up to {} % later at random", f64::from(policy.jitter_permille) / 10.0);
    }
    if let Some(within) = policy.give_up_after {
        text += &format!(", given up after {}", took(within));
    }
    if policy.when_exhausted == WhenExhausted::Park {
        text += ", then parked for a person";
    }
    for rule in &policy.rules {
        text += &format!("; {}", self::rule(rule));
    }
    text
}

/// A rule in a few words.
pub(crate) fn rule(rule: &Rule) -> String {
    let codes: Vec<String> = rule.codes.iter().map(|it| out::one_line(it)).collect();
    let action = match &rule.action {
        Action::Retry(None) => "tried again".to_owned(),
        Action::Retry(Some(own)) => {
            let retries = if own.retries == 1 { "retry" } else { "retries" };
            format!("{} {retries} of its own, {}", own.retries, delay(&own.delay))
        }
        Action::Fail => "not tried again".to_owned(),
        Action::Park => "parked for a person at once".to_owned(),
    };
    format!("{}: {action}", codes.join(", "))
}

fn delay(delay: &Delay) -> String {
    match delay {
        Delay::Fixed(delay) if delay.is_zero() => "at once".into(),
        Delay::Fixed(delay) => format!("each after {}", took(*delay)),
        Delay::Listed(list) => {
            let waits: Vec<String> = list.iter().map(|it| took(std::time::Duration::from_millis(*it))).collect();
            format!("after {}", waits.join(", "))
        }
        Delay::Exponential { initial, factor_permille } => {
            format!("after {}, then {} times as long each", took(*initial), f64::from(*factor_permille) / 1000.0)
        }
    }
}

fn asks(asked: &AskedLimits, capabilities: &[Capability]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut limits = Vec::new();
    limits.extend(asked.memory_bytes.map(|it| format!("memory {}", bytes(it))));
    limits.extend(asked.cpu_time.map(|it| format!("processor {}", took(it))));
    limits.extend(asked.timeout.map(|it| format!("timeout {}", took(it))));
    if !limits.is_empty() {
        lines.push(format!("  limits   {}", limits.join(", ")));
    }
    let asks: Vec<String> = capabilities.iter().map(Capability::to_string).collect();
    if !asks.is_empty() {
        lines.push(format!("  asks for {}", asks.join(", ")));
    }
    lines
}
