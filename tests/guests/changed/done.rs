//! What every version of the flow has in common.

use retake::prelude::*;

/// What a task did. No two are equal: who sees one a second time was fed it.
#[data]
pub(crate) struct Done {
    task: String,
    input: String,
    attempt: u32,
    mark: u64,
}

/// Does what every task does.
pub(crate) fn done(task: &str, input: impl ToString) -> Done {
    Done { task: task.to_owned(), input: input.to_string(), attempt: context().attempt, mark: retake::random() >> 12 }
}

/// Ends the version that is to be mended.
#[allow(dead_code, reason = "only one version fails")]
pub(crate) fn fails() -> Failure {
    Failure::new("not.mended", "this version fails at its end")
}
