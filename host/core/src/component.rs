//! What a component says about itself: its flows, its tasks, and how they want to be retried.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, code};
use crate::limits;
use crate::retry::{BadField, RetryPolicy};
use crate::time::millis_option;
use crate::value::Json;

/// What a flow or task asks for. A deployment grants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Outbound HTTP to a host, or host and port.
    Http(String),
    /// A directory by name.
    Dir {
        /// The name under which it is granted.
        name: String,
        /// Whether it is written to.
        writable: bool,
    },
    /// A secret by name.
    Secret(String),
    /// A variable by name.
    Variable(String),
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(host) => write!(f, "outbound HTTP to {host}"),
            Self::Dir { name, writable: true } => write!(f, "directory {name} (read and write)"),
            Self::Dir { name, writable: false } => write!(f, "directory {name} (read)"),
            Self::Secret(name) => write!(f, "secret {name}"),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

/// What one attempt asks to be allowed to use; `None` means the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AskedLimits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Time on a processor.
    #[serde(with = "millis_option", default)]
    pub cpu_time: Option<Duration>,
    /// Wall clock.
    #[serde(with = "millis_option", default)]
    pub timeout: Option<Duration>,
}

/// What one attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimits {
    /// Bytes of memory, over all memories of the sandbox.
    pub memory_bytes: u64,
    /// Time on a processor.
    pub cpu_time: Duration,
    /// Wall clock; `None` for a flow that asks for none, because its waits hold nothing.
    pub timeout: Option<Duration>,
}

impl AttemptLimits {
    /// Returns the failure of an attempt that took longer than it may.
    pub fn timed_out(&self) -> Failure {
        let limit = self.timeout.unwrap_or_default();
        Failure::new(code::TIMEOUT, format!("took longer than {limit:?}, which its declaration may raise"))
    }
}

impl AskedLimits {
    /// Returns what a flow's attempt may use: what was asked for, cut to the maxima, or the defaults.
    pub fn for_flow(&self) -> AttemptLimits {
        AttemptLimits { timeout: self.timeout.map(|it| it.min(limits::FLOW_TIMEOUT_MAX)), ..self.for_task() }
    }

    /// Returns what a task's attempt may use: what was asked for, cut to the maxima, or the defaults.
    pub fn for_task(&self) -> AttemptLimits {
        AttemptLimits {
            memory_bytes: self.memory_bytes.unwrap_or(limits::MEMORY_DEFAULT).min(limits::MEMORY_MAX),
            cpu_time: self.cpu_time.unwrap_or(limits::CPU_DEFAULT).min(limits::CPU_MAX),
            timeout: Some(self.timeout.unwrap_or(limits::TASK_TIMEOUT_DEFAULT).min(limits::TASK_TIMEOUT_MAX)),
        }
    }
}

/// A flow of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowInfo {
    /// Its name, unique among the component's flows.
    pub name: String,
    /// For people.
    pub description: String,
    /// JSON Schema of its parameters, an object.
    pub parameters: Json,
    /// JSON Schema of its result.
    pub returns: Option<Json>,
    /// How failed attempts are tried again.
    pub retry: RetryPolicy,
    /// What one attempt asks for.
    pub limits: AskedLimits,
    /// What it asks to be granted.
    pub capabilities: Vec<Capability>,
    /// Whether printed lines become log entries.
    pub log_prints: bool,
    /// Whether its result is kept; `None` means as the host is configured.
    pub persist_result: Option<bool>,
    /// For what nobody foresaw.
    pub extensions: Option<Json>,
}

/// A task of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its name, unique among the component's tasks.
    pub name: String,
    /// For people.
    pub description: String,
    /// Part of a kept result's identity.
    pub version: String,
    /// JSON Schema of its input, an object.
    pub input: Json,
    /// JSON Schema of its result.
    pub returns: Option<Json>,
    /// How failed attempts are tried again.
    pub retry: RetryPolicy,
    /// What one attempt asks for.
    pub limits: AskedLimits,
    /// What it asks to be granted.
    pub capabilities: Vec<Capability>,
    /// Whether printed lines become log entries.
    pub log_prints: bool,
    /// Whether its result is kept; `None` means as the host is configured.
    pub persist_result: Option<bool>,
    /// What concurrency limits are set for.
    pub tags: Vec<String>,
    /// For what nobody foresaw.
    pub extensions: Option<Json>,
}

/// What a component's `describe` answered, within all bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// What it calls itself.
    pub name: String,
    /// Its version, as it says.
    pub version: String,
    /// For people.
    pub description: String,
    /// At least one.
    pub flows: Vec<FlowInfo>,
    /// The tasks that its flows may call.
    pub tasks: Vec<TaskInfo>,
}

impl ComponentInfo {
    /// Returns the flow of this name.
    pub fn flow(&self, name: &str) -> Option<&FlowInfo> {
        self.flows.iter().find(|it| it.name == name)
    }

    /// Returns the task of this name.
    pub fn task(&self, name: &str) -> Option<&TaskInfo> {
        self.tasks.iter().find(|it| it.name == name)
    }

    /// Checks every bound and returns the first field that breaks one (T18, T19).
    pub fn check(&self) -> Result<(), BadField> {
        name("name", &self.name)?;
        text("version", &self.version, limits::VERSION_BYTES)?;
        text("description", &self.description, limits::TEXT_BYTES)?;
        BadField::unless(!self.flows.is_empty(), "flows", || {
            "none is declared, and a component has at least one".into()
        })?;
        count("flows", self.flows.len(), 1..=limits::FLOWS)?;
        count("tasks", self.tasks.len(), 0..=limits::TASKS)?;
        for (i, flow) in self.flows.iter().enumerate() {
            let at = |field: &str| format!("flows[{i}].{field}");
            name(&at("name"), &flow.name)?;
            unique(&at("name"), &flow.name, self.flows[..i].iter().map(|it| &it.name))?;
            text(&at("description"), &flow.description, limits::TEXT_BYTES)?;
            schema(&at("parameters"), &flow.parameters)?;
            flow.returns.as_ref().map_or(Ok(()), |it| schema(&at("returns"), it))?;
            flow.retry.check(&at("retry"))?;
            capabilities(&at("capabilities"), &flow.capabilities)?;
            positive(&at("limits"), &flow.limits)?;
        }
        for (i, task) in self.tasks.iter().enumerate() {
            let at = |field: &str| format!("tasks[{i}].{field}");
            name(&at("name"), &task.name)?;
            unique(&at("name"), &task.name, self.tasks[..i].iter().map(|it| &it.name))?;
            text(&at("description"), &task.description, limits::TEXT_BYTES)?;
            text(&at("version"), &task.version, limits::VERSION_BYTES)?;
            schema(&at("input"), &task.input)?;
            task.returns.as_ref().map_or(Ok(()), |it| schema(&at("returns"), it))?;
            task.retry.check(&at("retry"))?;
            capabilities(&at("capabilities"), &task.capabilities)?;
            positive(&at("limits"), &task.limits)?;
            count(&at("tags"), task.tags.len(), 0..=limits::LIST_ITEMS)?;
            task.tags.iter().try_for_each(|tag| name(&at("tags"), tag))?;
        }
        Ok(())
    }
}

/// Checks a name: 1 to 128 bytes of printable characters without `/`.
pub fn name(field: &str, name: &str) -> Result<(), BadField> {
    BadField::unless((1..=limits::NAME_BYTES).contains(&name.len()), field, || {
        format!("{} bytes, a name has 1 to {}", name.len(), limits::NAME_BYTES)
    })?;
    let odd = name.chars().find(|c| *c == '/' || !is_printable(*c));
    BadField::unless(odd.is_none(), field, || format!("{:?} is not allowed in a name", odd.unwrap_or_default()))?;
    BadField::unless(name.trim() == name, field, || "a name has no space at its ends".into())
}

/// Whether a character shows, and shows where it stands: no control characters, nothing that turns the writing
/// direction around or joins what it stands between.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn text(field: &str, text: &str, most: usize) -> Result<(), BadField> {
    BadField::unless(text.len() <= most, field, || format!("{} bytes, at most {most} are allowed", text.len()))
}

fn count(field: &str, got: usize, allowed: std::ops::RangeInclusive<usize>) -> Result<(), BadField> {
    BadField::unless(allowed.contains(&got), field, || {
        format!("{got} entries, expected {} to {}", allowed.start(), allowed.end())
    })
}

fn unique<'a>(field: &str, name: &str, mut earlier: impl Iterator<Item = &'a String>) -> Result<(), BadField> {
    BadField::unless(!earlier.any(|it| it == name), field, || format!("`{name}` is there twice"))
}

fn schema(field: &str, schema: &Json) -> Result<(), BadField> {
    text(field, schema.as_str(), limits::SCHEMA_BYTES)?;
    BadField::unless(schema.as_str().trim_start().starts_with('{'), field, || "a schema is a JSON object".into())
}

fn capabilities(field: &str, asked: &[Capability]) -> Result<(), BadField> {
    count(field, asked.len(), 0..=limits::LIST_ITEMS)?;
    asked.iter().try_for_each(|it| match it {
        Capability::Http(text) | Capability::Secret(text) | Capability::Variable(text) => name(field, text),
        Capability::Dir { name: text, .. } => name(field, text),
    })
}

fn positive(field: &str, asked: &AskedLimits) -> Result<(), BadField> {
    let none = Some(Duration::ZERO);
    BadField::unless(asked.memory_bytes != Some(0) && asked.cpu_time != none && asked.timeout != none, field, || {
        "a limit of zero lets nothing run".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ComponentInfo {
        ComponentInfo {
            name: "orders".into(),
            version: "0.1.0".into(),
            description: String::new(),
            flows: vec![FlowInfo {
                name: "Manual retry".into(),
                description: String::new(),
                parameters: Json::trusted("{}"),
                returns: None,
                retry: RetryPolicy::default(),
                limits: AskedLimits::default(),
                capabilities: vec![],
                log_prints: true,
                persist_result: None,
                extensions: None,
            }],
            tasks: vec![],
        }
    }

    fn problem(change: impl FnOnce(&mut ComponentInfo)) -> String {
        let mut info = info();
        change(&mut info);
        info.check().unwrap_err().to_string()
    }

    #[test]
    fn every_field_out_of_bounds_is_named() {
        assert_eq!(info().check(), Ok(()));
        assert_eq!(problem(|it| it.flows.clear()), "`flows`: none is declared, and a component has at least one");
        assert_eq!(problem(|it| it.flows[0].name = "a/b".into()), "`flows[0].name`: '/' is not allowed in a name");
        assert_eq!(problem(|it| it.flows[0].name = String::new()), "`flows[0].name`: 0 bytes, a name has 1 to 128");
        assert!(problem(|it| it.flows[0].name = "a\u{202e}b".into()).contains("not allowed in a name"));
        assert!(problem(|it| it.flows[0].name = "a\0b".into()).contains("'\\0' is not allowed"));
        assert!(problem(|it| it.flows.push(it.flows[0].clone())).contains("`Manual retry` is there twice"));
        assert!(problem(|it| it.flows[0].retry.retries = 20_000).starts_with("`flows[0].retry.retries`"));
        assert!(problem(|it| it.flows[0].parameters = Json::trusted("[]")).contains("a schema is a JSON object"));
        assert!(problem(|it| it.description = "x".repeat(2049)).starts_with("`description`: 2049 bytes"));
        assert!(problem(|it| it.flows[0].limits.timeout = Some(Duration::ZERO)).contains("lets nothing run"));
    }

    #[test]
    fn what_is_asked_for_is_cut_to_the_maxima() {
        let asked = AskedLimits { memory_bytes: Some(u64::MAX), cpu_time: Some(Duration::MAX), timeout: None };
        let may = asked.for_task();
        assert_eq!((may.memory_bytes, may.cpu_time), (limits::MEMORY_MAX, limits::CPU_MAX));
        assert_eq!(may.timeout, Some(limits::TASK_TIMEOUT_DEFAULT));
        assert_eq!(asked.for_flow().timeout, None);
    }
}
