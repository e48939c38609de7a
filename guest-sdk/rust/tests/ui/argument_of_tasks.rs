use retake::prelude::*;

#[flow(tags = ["db"])]
fn pages() {}

fn main() {}
