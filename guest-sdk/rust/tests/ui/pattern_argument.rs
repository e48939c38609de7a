use retake::prelude::*;

#[flow]
fn pages((a, b): (u32, u32)) {}

fn main() {}
