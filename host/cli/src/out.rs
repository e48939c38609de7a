//! How answers and errors are written.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anstream::{eprintln, println};
use clap::CommandFactory;
use comfy_table::{Table, presets};
use retake_core::limits;
use retake_core::retry::BadField;
use retake_core::run::Refused;
use retake_core::time::Timestamp;
use retake_engine::AskError;
use retake_store::StoreError;
use serde::Serialize;

use crate::args::{Args, Format};

/// What the process says by its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    Conflict = 6,
    /// The database failed: the process ends, and the next one reads what is really there.
    Database = 70,
    WaitEnded = 124,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error that people are told about: what, and what to try.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: String,
}

/// What went wrong, before it is said what to try. Not an error yet, so that none can be told without a hint.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unhinted {
    exit: Exit,
    message: String,
    causes: Vec<String>,
}

impl Trouble {
    #[allow(clippy::new_ret_no_self, reason = "there is none before it has a hint")]
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Unhinted {
        Unhinted { exit, message: message.into(), causes: Vec::new() }
    }
}

impl Unhinted {
    pub(crate) fn hint(self, hint: impl Into<String>) -> Trouble {
        let Self { exit, message, causes } = self;
        Trouble { exit, message, causes, hint: hint.into() }
    }

    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}

/// Writes an error to stderr and returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    if let Some(trouble) = error.downcast_ref::<Trouble>() {
        eprintln!("error: {}", plain(&trouble.message));
        for cause in &trouble.causes {
            eprintln!("cause: {}", plain(cause));
        }
        eprintln!("hint: {}", plain(&trouble.hint));
        return trouble.exit;
    }
    eprintln!("error: {}", plain(&error.to_string()));
    for cause in error.chain().skip(1) {
        eprintln!("cause: {}", plain(&cause.to_string()));
    }
    let (exit, hint) = known(error);
    eprintln!("hint: {}", plain(&hint));
    exit
}

/// Returns what to try after an error.
pub(crate) fn hint(error: &anyhow::Error) -> String {
    error.downcast_ref::<Trouble>().map_or_else(|| known(error).1, |it| it.hint.clone())
}

/// Says what clap found wrong with what was typed, so that it ends as every other error does. Help that was asked for
/// is no error.
pub(crate) fn misread(error: &clap::Error) -> Exit {
    use clap::error::ErrorKind;
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Whoever does not read the help any more has read enough.
        let _ = error.print();
        return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
    }
    let text = error.render().ansi().to_string();
    // What clap says last is the hint, without the command.
    let text = text.rsplit_once("For more information").map_or(text.as_str(), |(before, _)| before);
    eprintln!("{}", text.trim_end());
    eprintln!("hint: `{} --help` shows what can be typed", command_in(std::env::args_os().skip(1)));
    Exit::Usage
}

/// Returns the command that was meant, such as `retake task set-result`.
fn command_in(words: impl Iterator<Item = OsString>) -> String {
    let (mut command, mut path) = (Args::command(), "retake".to_owned());
    for word in words {
        if let Some(found) = command.find_subcommand(&word).cloned() {
            path += &format!(" {}", found.get_name());
            command = found;
        }
    }
    path
}

/// Returns the exit code and the hint of errors that come from the engine and the store.
fn known(error: &anyhow::Error) -> (Exit, String) {
    let (exit, hint) = match (error.downcast_ref::<AskError>(), error.downcast_ref::<StoreError>()) {
        (Some(AskError::Store(error)), _) | (_, Some(error)) => of_store(error),
        (Some(AskError::NoFlow { flows, .. }), _) => {
            let flows: Vec<String> = flows.iter().map(|it| format!("`{}`", one_line(it))).collect();
            return (Exit::NotFound, format!("it has {}", flows.join(", ")));
        }
        (Some(AskError::Field(bad)), _) => return (Exit::Usage, within_bounds(bad)),
        (Some(AskError::NoCall { .. }), _) => (Exit::NotFound, "`retake show RUN` lists its calls"),
        (Some(AskError::Parameters(_) | AskError::Result(..)), _) => {
            (Exit::Usage, "`retake inspect FLOW` shows the schemas of its component")
        }
        (Some(AskError::OtherRequest(..)), _) => (Exit::Conflict, "ask for the same, or use another key"),
        (None, None) => (Exit::Failed, "`retake doctor` checks this machine"),
    };
    (exit, hint.to_owned())
}

fn of_store(error: &StoreError) -> (Exit, &'static str) {
    match error {
        StoreError::NoRun(_) => (Exit::NotFound, "`retake ps` lists the runs"),
        StoreError::NoComponent(_) => (Exit::NotFound, "run its `.wasm` file once, which keeps it"),
        StoreError::Refused(refused) => (Exit::Conflict, of_rules(refused)),
        StoreError::Damaged(_) => {
            (Exit::Failed, "`retake db check` says what else is; a component heals when its `.wasm` file is run again")
        }
        StoreError::ReadOnly | StoreError::Unavailable(_) => {
            (Exit::Failed, "`retake doctor` checks this machine, and `retake db check` the database")
        }
    }
}

fn of_rules(refused: &Refused) -> &'static str {
    match refused {
        Refused::HasCompleted => "`--rerun TASK`, `--from TASK` or `--all` forget results and run them again",
        Refused::NotEnded => {
            "it was put aside or waits: `retake watch RUN` goes on with it, `retake cancel RUN` ends it"
        }
        Refused::Active => "whoever works on it has to stop first: Ctrl-C there, or wait until it has ended",
        Refused::HasEnded => "it has ended: `retake retry RUN` begins it again, with `--all` also where it completed",
        Refused::NotPaused => "`retake explain RUN` says what it waits for",
        Refused::NotWaiting => "`retake explain RUN` says what it waits for, if it does",
        Refused::HasResult => "`retake retry RUN --rerun TASK` has it made again",
        Refused::OtherAttempt { .. } => "somebody else may have retried it: `retake show RUN`",
        _ => "`retake show RUN` tells where it stands",
    }
}

/// Says what may be typed instead of what was out of bounds.
fn within_bounds(bad: &BadField) -> String {
    match bad.field.as_str() {
        "retry.retries" => format!("`--retries {}` is the most", limits::RETRIES),
        "retry.delay" => format!("`--retry-delay {}h` is the longest", limits::DELAY.as_secs() / 3600),
        "memory" => format!("`--memory {}MiB` is the most", limits::MEMORY_MAX >> 20),
        // Everything else stands in the metadata.
        _ => "change the argument of `#[flow]` or `#[task]` that is named, and build again".into(),
    }
}

/// Makes text of strangers harmless on a terminal: control characters and what turns the writing direction around
/// are shown as escapes; tabs and line ends stay (T21).
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' => out.push(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// The same on one line.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).replace(['\n', '\t'], " ")
}

/// Writes a list in the format that was asked for.
pub(crate) fn list<T: Serialize>(
    format: Format,
    items: &[T],
    id: impl Fn(&T) -> String,
    table: impl FnOnce() -> Table,
) {
    match format {
        Format::Table => println!("{}", table()),
        Format::Json => println!("{}", json(&items, true)),
        Format::Jsonl => items.iter().for_each(|it| println!("{}", json(it, false))),
        Format::Id => items.iter().for_each(|it| println!("{}", id(it))),
    }
}

/// Writes one thing in the format that was asked for.
pub(crate) fn one<T: Serialize>(format: Format, item: &T, id: impl FnOnce() -> String, table: impl FnOnce() -> String) {
    match format {
        Format::Table => println!("{}", table()),
        Format::Json => println!("{}", json(item, true)),
        Format::Jsonl => println!("{}", json(item, false)),
        Format::Id => println!("{}", id()),
    }
}

fn json(item: &impl Serialize, pretty: bool) -> String {
    let text = if pretty { serde_json::to_string_pretty(item) } else { serde_json::to_string(item) };
    text.expect("wire types are JSON")
}

/// Makes an empty table with these headings.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().copied());
    table
}

/// Writes a duration as people say it: `1.2 s`, `5 min`, `2 h 10 min`.
pub(crate) fn took(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if duration.is_zero() => "0 s".into(),
        0 if duration.as_millis() == 0 => format!("{} µs", duration.as_micros().max(1)),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => {
            let tenths = duration.as_millis() / 100;
            if tenths.is_multiple_of(10) {
                format!("{} s", tenths / 10)
            } else {
                format!("{}.{} s", tenths / 10, tenths % 10)
            }
        }
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 if seconds % 3600 / 60 == 0 => format!("{} h", seconds / 3600),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ if seconds % 86_400 / 3600 == 0 => format!("{} d", seconds / 86_400),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Writes an instant for a table: seconds are enough there.
pub(crate) fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", &text[..19])
}

/// Writes a number of bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Sets whether colour is used.
pub(crate) fn choose_color(color: crate::args::Color) {
    use crate::args::Color;
    let choice = match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Whether somebody looks at stderr.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_is_harmless() {
        assert_eq!(plain("a\u{1b}[31mb\rc\u{202e}d\te"), "a\\u{1b}[31mb\\u{d}c\\u{202e}d\te");
        assert_eq!(one_line("a\nb"), "a b");
    }

    #[test]
    fn the_command_that_was_meant_is_found() {
        let meant = |typed: &str| command_in(typed.split(' ').map(OsString::from));
        assert_eq!(meant("task set-result --jsn"), "retake task set-result");
        assert_eq!(meant("-o json run show"), "retake run", "a flow may be called like a command");
        assert_eq!(meant("rnu"), "retake");
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        let said = |ms| took(Duration::from_millis(ms));
        assert_eq!(
            [0, 7, 1200, 3000, 300_000, 90_000, 7_800_000, 86_400_000].map(said),
            ["0 s", "7 ms", "1.2 s", "3 s", "5 min", "1 min 30 s", "2 h 10 min", "1 d"]
        );
    }
}
