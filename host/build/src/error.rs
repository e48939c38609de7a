//! What goes wrong between sources and a component.

use std::fmt;

/// The result of a step.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for makes no sense: another directory, another name.
    Usage,
    /// A tool is not there.
    Missing,
    /// The compiler refused the sources, and has said why on stderr.
    Sources,
    /// The build was stopped because the caller wanted it.
    Stopped,
    /// Something else on this machine.
    Machine,
}

/// What went wrong, why, and what to try.
#[derive(Debug)]
pub struct Error {
    /// What the caller can do about it.
    pub kind: Kind,
    /// What went wrong.
    pub message: String,
    /// Why, the nearest reason first.
    pub causes: Vec<String>,
    /// What to try: a command to run or a line to add.
    pub hint: String,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: hint.into() }
    }

    pub(crate) fn machine(message: impl Into<String>) -> Self {
        Self::new(Kind::Machine, message, "`retake doctor` checks this machine")
    }

    pub(crate) fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Says what was being done when something failed.
pub(crate) trait During<T> {
    /// The error with this message; what it was itself becomes the cause.
    fn during(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> During<T> for std::result::Result<T, E> {
    fn during(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::machine(message()).cause(error))
    }
}
