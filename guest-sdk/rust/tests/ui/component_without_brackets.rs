use retake::prelude::*;

#[flow]
fn pages() {}

retake::component!(flows: pages);

fn main() {}
