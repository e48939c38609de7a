//! How answers and errors are written.

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use anstream::eprintln;
use clap::CommandFactory;
use comfy_table::{Table, presets};
use retake_core::limits;
use retake_core::retry::BadField;
use retake_core::time::Timestamp;
use retake_engine::AskError;
use retake_server::ClientError;
use retake_store::StoreError;
use serde::Serialize;

pub(crate) use retake_server::text::{bytes, one_line, plain, took};

use crate::args::{Args, Format};

/// What the process says by its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    /// The server does not answer.
    Unreachable = 5,
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
    if let Some(ClientError::Refused(refused)) = error.downcast_ref() {
        eprintln!("error: {}", plain(&refused.message));
        for cause in &refused.causes {
            eprintln!("cause: {}", plain(cause));
        }
        eprintln!("hint: {}", plain(&refused.hint));
        return of_status(refused.status());
    }
    eprintln!("error: {}", plain(&error.to_string()));
    for cause in error.chain().skip(1) {
        eprintln!("cause: {}", plain(&cause.to_string()));
    }
    let (exit, hint) = known(error);
    eprintln!("hint: {}", plain(&hint));
    exit
}

/// What the process says by its exit code when a server refused.
fn of_status(status: u16) -> Exit {
    match status {
        400 | 413 | 422 => Exit::Usage,
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 | 429 => Exit::Conflict,
        _ => Exit::Failed,
    }
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
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(refused)) => return (of_status(refused.status()), refused.hint.clone()),
        Some(ClientError::Unreachable { .. }) => {
            return (Exit::Unreachable, "start it with `retake server`, or name another with `--server URL`".into());
        }
        None => {}
    }
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
        StoreError::Refused(refused) => (Exit::Conflict, retake_server::hint_of(refused)),
        StoreError::Changed { .. } | StoreError::InUse(_) => (Exit::Conflict, "look at it again, and then change it"),
        StoreError::Damaged(_) => {
            (Exit::Failed, "`retake db check` says what else is; a component heals when its `.wasm` file is run again")
        }
        StoreError::ReadOnly | StoreError::Unavailable(_) => {
            (Exit::Database, "`retake doctor` checks this machine, and `retake db check` the database")
        }
    }
}

/// Says what may be typed instead of what was out of bounds.
fn within_bounds(bad: &BadField) -> String {
    match bad.field.as_str() {
        "retry.retries" => format!("`--retries {}` is the most", limits::RETRIES),
        "retry.delay" => format!("`--retry-delay {}h` is the longest", limits::DELAY.as_secs() / 3600),
        "memory" => format!("`--memory {}MiB` is the most", limits::MEMORY_MAX >> 20),
        "inject" => "`retake inspect` shows the tasks and flows of a component".into(),
        // Everything else stands in the metadata.
        _ => "change what is named, where the flow or task is declared, and build again".into(),
    }
}

/// Writes a list in the format that was asked for.
pub(crate) fn list<T: Serialize>(
    format: Format,
    items: &[T],
    id: impl Fn(&T) -> String,
    table: impl FnOnce() -> Table,
) {
    match format {
        Format::Table => line(table()),
        Format::Json => line(json(&items, true)),
        Format::Jsonl => items.iter().for_each(|it| line(json(it, false))),
        Format::Id => items.iter().for_each(|it| line(id(it))),
    }
}

/// Says that something was done to what has this name.
pub(crate) fn done(format: Format, what: &str, name: &str, text: &str) {
    let view = serde_json::json!({ "name": name, "done": what });
    one(format, &view, || name.to_owned(), || text.to_owned());
}

/// Writes one thing in the format that was asked for.
pub(crate) fn one<T: Serialize>(format: Format, item: &T, id: impl FnOnce() -> String, table: impl FnOnce() -> String) {
    match format {
        Format::Table => line(table()),
        Format::Json => line(json(item, true)),
        Format::Jsonl => line(json(item, false)),
        Format::Id => line(id()),
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

/// The zone in which instants are shown to people: the viewer's, unless `--utc` was typed.
static ZONE: OnceLock<jiff::tz::TimeZone> = OnceLock::new();

/// Shows instants in UTC from now on.
pub(crate) fn show_utc() {
    let _ = ZONE.set(jiff::tz::TimeZone::UTC);
}

fn zoned(at: Timestamp) -> Option<jiff::Zoned> {
    let zone = ZONE.get_or_init(jiff::tz::TimeZone::system);
    let zoned = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?.to_zoned(zone.clone());
    (zoned.offset() != jiff::tz::Offset::UTC).then_some(zoned)
}

/// Writes an instant for a table, in the zone of whoever looks: seconds are enough there.
pub(crate) fn instant(at: Timestamp) -> String {
    match zoned(at) {
        Some(it) => it.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        None => retake_server::text::instant(at),
    }
}

/// The same with all that is known of it.
pub(crate) fn precise(at: Timestamp) -> String {
    zoned(at).map_or_else(|| at.to_string(), |it| it.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string())
}

/// Shows the instants in a sentence of a server's in the zone of whoever looks.
pub(crate) fn in_zone(sentence: &str) -> String {
    let word = |word: &str| {
        let is_end = |c: char| !(c.is_ascii_digit() || c == 'Z');
        let (text, end) = word.find(|c| is_end(c) && !"-:T.".contains(c)).map_or((word, ""), |at| word.split_at(at));
        let (text, dot) = text.strip_suffix('.').map_or((text, ""), |it| (it, "."));
        let at = (text.len() >= 20 && text.ends_with('Z')).then(|| text.parse::<Timestamp>().ok()).flatten();
        at.map_or_else(|| word.to_owned(), |at| format!("{}{dot}{end}", instant(at)))
    };
    sentence.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Writes a line to stderr, where somebody may still look: a terminal that was closed does not end the work.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Whether colour is used on stderr.
pub(crate) fn colors_stderr(color: crate::args::Color) -> bool {
    choose_color(color);
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Writes a line to stdout. Who does not read it any more has read enough: then the process ends, as if by the signal.
pub(crate) fn line(text: impl fmt::Display) {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(141),
        done => done.unwrap_or_else(|error| panic!("failed printing to stdout: {error}")),
    }
}

/// Whether somebody looks at stderr.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_was_meant_is_found() {
        let meant = |typed: &str| command_in(typed.split(' ').map(OsString::from));
        assert_eq!(meant("task set-result --jsn"), "retake task set-result");
        assert_eq!(meant("-o json run show"), "retake run", "a flow may be called like a command");
        assert_eq!(meant("rnu"), "retake");
    }
}
