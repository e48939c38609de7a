use retake::prelude::*;

#[flow(name = "a/b")]
fn pages() {}

fn main() {}
