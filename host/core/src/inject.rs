//! What is to go wrong in a run, because whoever asked for it wants to see what becomes of it then.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::component::ComponentInfo;
use crate::failure::{Failure, code};
use crate::limits;
use crate::retry::BadField;

/// Attempts that are not made: something else happens in their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Injection {
    is_flow: bool,
    name: String,
    what: What,
    /// So many attempts of each run of it, from the first on.
    times: u32,
}

/// What happens in place of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It fails, with this code.
    Fail(String),
    /// It traps.
    Trap,
    /// Its time runs out.
    Hang,
}

impl What {
    /// Returns the failure of a code, of a trap, or of a time that has run out.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Fail(code) => Failure::new(code, "failed, as was asked for when the run was made"),
            Self::Trap => Failure::new(code::TRAP, "trapped, as was asked for when the run was made"),
            Self::Hang => Failure::new(code::TIMEOUT, "hung, as was asked for when the run was made"),
        }
    }
}

impl Injection {
    /// Returns what happens in place of an attempt, if anything does.
    pub fn of(&self, is_flow: bool, name: &str, attempt: u32) -> Option<&What> {
        (self.is_flow == is_flow && self.name == name && attempt <= self.times).then_some(&self.what)
    }

    /// Checks that a component has what is injected into: a name that is mistyped would test nothing.
    pub fn check_names(all: &[Self], info: &ComponentInfo) -> Result<(), BadField> {
        let is_there =
            |it: &Self| if it.is_flow { info.flow(&it.name).is_some() } else { info.task(&it.name).is_some() };
        let Some(Self { is_flow, name, .. }) = all.iter().find(|it| !is_there(it)) else { return Ok(()) };
        let (kind, known): (_, Vec<&str>) = match is_flow {
            true => ("flow", info.flows.iter().map(|it| it.name.as_str()).collect()),
            false => ("task", info.tasks.iter().map(|it| it.name.as_str()).collect()),
        };
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(BadField { field: "inject".into(), problem: format!("there is no {kind} `{name}`; there is {known}") })
    }

    /// Checks the bounds of several.
    pub fn check(all: &[Self]) -> Result<(), BadField> {
        BadField::unless(all.len() <= limits::INJECTIONS, "inject", || {
            format!("{} entries, at most {} are allowed", all.len(), limits::INJECTIONS)
        })
    }
}

const HOW: &str = "write `task:NAME=fail*2`, `flow:NAME=trap`, `task:NAME=hang` or `task:NAME=fail:CODE`";

impl FromStr for Injection {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let bad = || BadField { field: "inject".into(), problem: format!("`{text}` is none: {HOW}") };
        let (of, what) = text.rsplit_once('=').ok_or_else(bad)?;
        let (kind, name) = of.split_once(':').ok_or_else(bad)?;
        crate::component::name("inject", name)?;
        let (what, times) = match what.rsplit_once('*') {
            Some((what, times)) => (what, times.parse().ok().filter(|it| (1..=10_000).contains(it)).ok_or_else(bad)?),
            None => (what, 1),
        };
        let what = match what.split_once(':') {
            None if what == "fail" => What::Fail("test.failed".into()),
            None if what == "trap" => What::Trap,
            None if what == "hang" => What::Hang,
            Some(("fail", code)) if !code.is_empty() && code.len() <= limits::NAME_BYTES => What::Fail(code.into()),
            _ => return Err(bad()),
        };
        let is_flow = match kind {
            "flow" => true,
            "task" => false,
            _ => return Err(bad()),
        };
        Ok(Self { is_flow, name: name.to_owned(), what, times })
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_flow { "flow" } else { "task" };
        write!(f, "{kind}:{}=", self.name)?;
        match &self.what {
            What::Fail(code) => write!(f, "fail:{code}")?,
            What::Trap => f.write_str("trap")?,
            What::Hang => f.write_str("hang")?,
        }
        write!(f, "*{}", self.times)
    }
}

impl From<Injection> for String {
    fn from(it: Injection) -> Self {
        it.to_string()
    }
}

impl TryFrom<String> for Injection {
    type Error = BadField;

    fn try_from(text: String) -> Result<Self, BadField> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, shown) in [
            ("task:charge=fail*2", "task:charge=fail:test.failed*2"),
            ("flow:Manual retry=trap", "flow:Manual retry=trap*1"),
            ("task:a=b=hang*10000", "task:a=b=hang*10000"),
            ("task:x=fail:http.503*3", "task:x=fail:http.503*3"),
        ] {
            let read: Injection = text.parse().unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(shown.parse::<Injection>().unwrap(), read);
        }
        for bad in [
            "",
            "charge=fail",
            "task:charge",
            "tusk:a=fail",
            "task:a=fall",
            "task:=fail",
            "task:a=fail*0",
            "task:a=fail:",
            "task:a=trap:x",
            "task:a=fail*x",
            "task:a/b=fail",
        ] {
            assert!(bad.parse::<Injection>().is_err(), "{bad}");
        }
    }

    #[test]
    fn it_happens_to_the_first_attempts_of_what_it_names() {
        let it: Injection = "task:charge=trap*2".parse().unwrap();
        assert_eq!(it.of(false, "charge", 2), Some(&What::Trap));
        for (is_flow, name, attempt) in [(false, "charge", 3), (true, "charge", 1), (false, "other", 1)] {
            assert_eq!(it.of(is_flow, name, attempt), None);
        }
    }
}
