use retake::prelude::*;

#[task]
fn fetch() {}

retake::component!(tasks: [fetch]);

fn main() {}
