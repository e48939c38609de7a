//! The first task has another version.

use retake::prelude::*;

#[path = "../../done.rs"]
mod done;
use done::{Done, done};

#[task(version = "2")]
fn a(number: u32) -> Done {
    done("a", number)
}

#[task]
fn b(number: u32) -> Done {
    done("b", number)
}

#[task]
fn c(number: u32) -> Done {
    done("c", number)
}

#[flow(name = "changed")]
fn changed() -> Result<Vec<Done>> {
    Ok(vec![a(1)?, b(2)?, c(3)?])
}

retake::component!(name: "changed", flows: [changed], tasks: [a, b, c]);
