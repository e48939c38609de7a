//! Every mistake that can be seen while compiling says what to write instead.

#[test]
fn mistakes_say_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
