//! One task is gone.

use retake::prelude::*;

#[path = "../../done.rs"]
mod done;
use done::{Done, done};

#[task]
fn a(number: u32) -> Done {
    done("a", number)
}

#[task]
fn c(number: u32) -> Done {
    done("c", number)
}

#[flow(name = "changed")]
fn changed() -> Result<Vec<Done>> {
    Ok(vec![a(1)?, c(3)?])
}

retake::component!(name: "changed", flows: [changed], tasks: [a, c]);
