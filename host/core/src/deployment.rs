//! A deployment: a flow under a name, ready to be run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::component::FlowInfo;
use crate::id::ContentDigest;
use crate::limits;
use crate::retry::BadField;
use crate::task::Overrides;
use crate::time::{Timestamp, millis_option};
use crate::value::Json;

/// Where workers look for runs of deployments that name no queue.
pub const DEFAULT_QUEUE: &str = "default";

/// A flow under a name: which code, where it is worked on, and with what. Runs are pinned to the code that the
/// deployment had when they were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The flow's name.
    pub flow: String,
    /// The deployment's name, unique among those of its flow.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The code.
    pub component: ContentDigest,
    /// Where workers look for its runs.
    pub queue: String,
    /// A JSON object: parameters that runs have unless they are asked for with others.
    pub parameters: Json,
    /// What counts instead of the flow's metadata.
    pub overrides: Overrides,
    /// For filters and notifications.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether its schedules make no runs. Runs that are asked for are made all the same.
    #[serde(default)]
    pub paused: bool,
    /// How many of its runs are worked on at once; as many as there are slots, unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How long its runs are kept after they have ended; for ever, or as the server says, unless it says so.
    #[serde(with = "millis_option", default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
    /// When that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_since: Option<Timestamp>,
    /// The secrets that its runs may have, where their code asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The variables that its runs may have, where their code asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
}

impl Deployment {
    /// Returns `flow/name`, by which it is known.
    pub fn full_name(&self) -> String {
        full_name(&self.flow, &self.name)
    }

    /// Checks every bound. That the parameters fit the schema is checked when a run is made: a run may bring the rest.
    pub fn check(&self, flow: &FlowInfo) -> Result<(), BadField> {
        check_name("name", &self.name)?;
        check_name("queue", &self.queue)?;
        let most = limits::LIST_ITEMS;
        for (field, names) in [("tags", &self.tags), ("secrets", &self.secrets), ("variables", &self.variables)] {
            BadField::unless(names.len() <= most, field, || format!("{} of them, at most {most}", names.len()))?;
            for (i, name) in names.iter().enumerate() {
                check_name(&format!("{field}[{i}]"), name)?;
            }
        }
        let most = limits::TEXT_BYTES;
        BadField::unless(self.description.len() <= most, "description", || format!("longer than {most} bytes"))?;
        BadField::unless(self.concurrency != Some(0), "concurrency", || "0 lets nothing run; pause it instead".into())?;
        let most = limits::CONCURRENCY;
        BadField::unless(self.concurrency.is_none_or(|it| it <= most), "concurrency", || {
            format!("may be {most} at most")
        })?;
        let shortest = limits::RETENTION_MIN;
        BadField::unless(self.retention.is_none_or(|it| it >= shortest), "retention_ms", || {
            format!("may be {} at least: what has just ended is looked at", shortest.as_millis())
        })?;
        self.overrides.check(flow)
    }
}

/// Joins a flow's name and a deployment's: the latter has no slash, the former may have.
pub fn full_name(flow: &str, name: &str) -> String {
    format!("{flow}/{name}")
}

/// Checks a name that people give: as a flow's, and none that an address would swallow.
pub fn check_name(field: &str, name: &str) -> Result<(), BadField> {
    crate::component::name(field, name)?;
    BadField::unless(!matches!(name, "." | ".."), field, || "means a folder in an address".into())?;
    BadField::unless(name.trim() == name, field, || "begins or ends with a space".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_typed_and_shown() {
        for fine in ["dev", "Manual retry", "eu-west.1", "größe"] {
            assert!(check_name("name", fine).is_ok(), "{fine}");
        }
        let long = "x".repeat(limits::NAME_BYTES + 1);
        for odd in ["", " dev", "a/b", "a\nb", "..", long.as_str()] {
            assert!(check_name("name", odd).is_err(), "{odd:?}");
        }
    }
}
