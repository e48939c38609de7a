use retake::prelude::*;

#[flow]
fn pages() {}

#[flow(name = "pages")]
fn more_pages() {}

retake::component!(flows: [pages, more_pages]);

fn main() {}
