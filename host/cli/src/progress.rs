//! What happens while a run is worked on, on stderr.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use retake_core::id::FlowRunId;
use retake_core::run::Shown;
use retake_core::task::Level;
use retake_core::time::{Clock, Timestamp};
use retake_engine::{Observer, Progress};
pub(crate) use retake_server::text::words;

use crate::local::SystemClock;
use crate::out::{self, is_watched, one_line, took};

/// Tells of one run, or of all when none is set.
pub(crate) struct Teller {
    only: Mutex<Option<FlowRunId>>,
    /// Runs below the one that is told of: they are told of by their names.
    below: Mutex<HashSet<FlowRunId>>,
    quiet: bool,
    bar: Option<ProgressBar>,
    /// What is being attempted, to be shown as long as it is.
    open: Mutex<HashMap<(FlowRunId, u32), String>>,
}

impl Teller {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (is_watched() && !quiet).then(ProgressBar::new_spinner);
        Self { only: Mutex::default(), below: Mutex::default(), quiet, bar, open: Mutex::default() }
    }

    /// Tells only of this run from now on.
    pub(crate) fn follow(&self, run: FlowRunId) {
        *self.only.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
    }

    /// Writes a line, above the bar if there is one.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| out::tell(line)),
            None => out::tell(line),
        }
    }

    /// Shows what is waited for.
    pub(crate) fn wait(&self, message: String) {
        self.show("  {spinner} {msg}", message);
    }

    /// Shows that a component is made ready, and for how long already: one with an interpreter takes a while.
    pub(crate) fn wait_for_code(&self, doing: &str, bytes: usize) {
        if let Some(bar) = &self.bar {
            bar.reset_elapsed();
        }
        self.show(
            "  {spinner} {msg}, {elapsed}",
            format!("{doing} the component, {}", retake_server::text::bytes(bytes as u64)),
        );
    }

    fn show(&self, template: &str, message: String) {
        if let Some(bar) = &self.bar {
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(message);
            bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show_open(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<&str> = open.values().map(String::as_str).take(5).collect();
        names.sort_unstable();
        let more =
            if open.len() > names.len() { format!(" and {} more", open.len() - names.len()) } else { String::new() };
        self.wait(format!("{}{more}", names.join(", ")));
    }
}

/// When something goes on, as an instant and as a wait.
pub(crate) fn due_words(due: Timestamp) -> String {
    out::in_zone(&retake_server::text::due_words(due, SystemClock.now()))
}

impl Observer for Teller {
    fn progress(&self, run: FlowRunId, progress: Progress) {
        let only = *self.only.lock().unwrap_or_else(PoisonError::into_inner);
        let mut below = self.below.lock().unwrap_or_else(PoisonError::into_inner);
        let is_below = below.contains(&run);
        if self.quiet || only.is_some_and(|it| it != run && !is_below) {
            return;
        }
        if let Progress::Child(child) = progress {
            below.insert(child);
            return;
        }
        drop(below);
        let whose = if only == Some(run) { String::new() } else { format!("{} ", run.friendly_name()) };
        let open = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Child(_) | Progress::Changed => {}
            Progress::Began { attempt, resumed: false } => self.say(&format!("{whose}attempt {attempt}")),
            Progress::Began { attempt, resumed: true } => self.say(&format!("{whose}attempt {attempt} goes on")),
            Progress::Cached { name, .. } => {
                self.say(&format!("  {whose}↺ {:<12} Cached", one_line(&name)));
            }
            Progress::TaskBegan { number, name, .. } => {
                open().insert((run, number), one_line(&name));
                self.show_open();
            }
            Progress::TaskEnded { number, name, attempt, took: lasted, failure, retry_at } => {
                open().remove(&(run, number));
                self.show_open();
                let mark = if failure.is_none() { '✔' } else { '✘' };
                let mut line = format!("  {whose}{mark} {:<12} {:>7}", one_line(&name), took(lasted));
                if attempt > 1 || retry_at.is_some() {
                    line += &format!("   attempt {attempt}");
                }
                if let Some(failure) = &failure {
                    line += &format!("   {}", words(failure));
                }
                if let Some(due) = retry_at {
                    line += &format!("; again at {}", due_words(due));
                }
                self.say(&line);
            }
            Progress::Line(line) => {
                let mark = match line.level {
                    Level::Error => "!",
                    Level::Warn => "~",
                    _ => "│",
                };
                self.say(&format!("  {whose}{mark} {}", one_line(&line.message)));
            }
            Progress::Ended { shown, failure, due } => {
                open().retain(|(of, _), _| *of != run);
                let mut line = format!("{whose}{shown}");
                if let Some(failure) = &failure {
                    line += &format!(": {}", words(failure));
                }
                if let Some(due) = due
                    && matches!(shown, Shown::AwaitingRetry | Shown::Suspended)
                {
                    line += &format!("; goes on at {}", due_words(due));
                    self.wait(format!("{shown} until {}", due_words(due)));
                }
                self.say(&line);
            }
        }
    }
}
