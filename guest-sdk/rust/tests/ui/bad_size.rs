use retake::prelude::*;

#[flow(memory = "64MB")]
fn pages() {}

fn main() {}
