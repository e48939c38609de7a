//! One task has another name.

use retake::prelude::*;

#[path = "../../done.rs"]
mod done;
use done::{Done, done};

#[task]
fn a(number: u32) -> Done {
    done("a", number)
}

#[task]
fn b2(number: u32) -> Done {
    done("b2", number)
}

#[task]
fn c(number: u32) -> Done {
    done("c", number)
}

#[flow(name = "changed")]
fn changed() -> Result<Vec<Done>> {
    Ok(vec![a(1)?, b2(2)?, c(3)?])
}

retake::component!(name: "changed", flows: [changed], tasks: [a, b2, c]);
