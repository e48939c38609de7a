use retake::prelude::*;

struct Shop;

impl Shop {
    #[task]
    fn fetch(&self) {}
}

fn main() {}
