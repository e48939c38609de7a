//! What flows and tasks ask of their host, answered by the host of a test.

use std::panic::resume_unwind;
use std::time::Duration;

use super::world::{Killed, World, with};
use crate::bindings::retake::flow::context::Run;
use crate::bindings::retake::flow::log::Level;
use crate::bindings::retake::flow::tasks::Options;
use crate::bindings::retake::flow::types::Failure;
use crate::host::Target;

/// A call: which run made it, and which of its calls it is.
pub struct Handle {
    run: usize,
    call: usize,
}

impl Handle {
    pub(crate) fn outcome(&self) -> Result<String, Failure> {
        let (outcome, is_killed) = with(|world| world.outcome(self.run, self.call));
        if is_killed {
            resume_unwind(Box::new(Killed));
        }
        outcome
    }

    pub(crate) fn is_done(&self) -> bool {
        with(|world| world.is_done(self.run, self.call))
    }

    pub(crate) fn cancel(&self) {
        with(|world| world.cancel(self.run, self.call));
    }
}

pub(crate) fn submit(target: &Target<'_>, input: &str, options: &Options) -> Handle {
    let (run, call) = World::submit(target, input, options);
    Handle { run, call }
}

pub(crate) fn wait_any(handles: &[&Handle]) -> usize {
    let calls: Vec<(usize, usize)> = handles.iter().map(|it| (it.run, it.call)).collect();
    with(|world| world.wait_any(&calls))
}

pub(crate) fn sleep(milliseconds: u64) {
    with(|world| world.sleep(Duration::from_millis(milliseconds)));
}

pub(crate) fn sleep_until(unix_ms: u64) {
    with(|world| {
        let wait = Duration::from_millis(unix_ms).saturating_sub(world.unix_time());
        world.sleep(wait);
    });
}

pub(crate) fn current() -> Run {
    with(|world| world.current())
}

pub(crate) fn log(level: Level, message: &str, fields: &str) {
    with(|world| world.log(level, message, fields));
}

pub(crate) fn secret(name: &str) -> Result<String, Failure> {
    with(|world| world.value("secret", name))
}

pub(crate) fn variable(name: &str) -> Result<String, Failure> {
    with(|world| world.value("variable", name))
}
