//! A flow that calls another.
//!
//! A child flow is a run of its own: with its own page, its own retries and its own tasks. When
//! its parent is tried again, a child that has completed is fed back, and one that has failed is
//! retried.
#![allow(clippy::print_stdout, reason = "what a flow prints becomes its log")]

use retake::prelude::*;

/// What a child returns.
#[data]
struct Grown {
    name: String,
    /// Which of its attempts succeeded.
    attempt: u32,
}

/// Gives a name its letters in capitals.
#[task]
fn shout(name: String) -> String {
    name.to_uppercase()
}

/// Fails in its first attempts, and is retried on its own.
#[flow(retries = 2, delay = "0s", log_prints)]
fn child(
    name: String,
    /// How many attempts fail first; above 2 the child fails, and with it the parent.
    #[default]
    fails: u32,
) -> Result<Grown> {
    let attempt = context().attempt;
    println!("child {name}: attempt {attempt}");
    let name = shout(name)?;
    if attempt <= fails {
        return Err(Failure::new("not.yet", format!("attempt {attempt} of {name} failed")));
    }
    Ok(Grown { name, attempt })
}

/// Calls two children side by side.
#[flow(log_prints)]
fn parent(
    /// How many attempts of the second child fail first.
    #[default]
    child_fails: u32,
    /// How many attempts of the parent fail, after its children have completed.
    #[default]
    parent_fails: u32,
) -> Result<Vec<Grown>> {
    let attempt = context().attempt;
    println!("parent: attempt {attempt}");
    let first = child::submit("ann".to_owned(), 0);
    let second = child::submit("bob".to_owned(), child_fails);
    let grown = vec![first.outcome()?, second.outcome()?];
    if attempt <= parent_fails {
        return Err(Failure::new("not.yet", format!("attempt {attempt} of the parent failed")));
    }
    Ok(grown)
}

retake::component!(name: "parent", flows: [parent, child], tasks: [shout]);
