use retake::prelude::*;

#[task]
fn fetch() {}

#[flow]
fn pages() -> Result<()> {
    fetch()
}

retake::component!(flows: [pages]);

fn main() {}
