//! Three tasks in a row, and a failure at the end. The other versions are what becomes of it.

use retake::prelude::*;

#[path = "../../done.rs"]
mod done;
use done::{Done, done, fails};

#[task]
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
    a(1)?;
    b(2)?;
    c(3)?;
    Err(fails())
}

retake::component!(name: "changed", flows: [changed], tasks: [a, b, c]);
