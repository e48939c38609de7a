use retake::prelude::*;

#[task]
fn fetch() {}

#[flow]
fn pages() {}

retake::component!(flows: [pages, fetch]);

fn main() {}
