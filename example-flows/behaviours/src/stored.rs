//! What is stored, and how failures are told, as a test of the host looks at it: the same in every language.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;

use retake::prelude::*;
use retake::serde::{Serialize, Serializer};
use retake::serde_json::{Value, json};

/// What there is to see.
#[data]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    Nan,
    NanInside,
    Infinite,
    NanGiven,
    Unstorable,
    Cycle,
    Big,
    Huge,
    EmptyList,
    EmptyMap,
    HalfEmojiSaid,
    Exit,
    Reason,
    Network,
    LastPrint,
    TaskInTask,
    Default,
    NullOrUnset,
}

#[task(retries = 2)]
pub(crate) fn nan() -> f64 {
    f64::NAN
}

#[data]
pub(crate) struct Rows {
    rows: Vec<f64>,
}

#[task(name = "nan-inside", retries = 2)]
pub(crate) fn nan_inside() -> Rows {
    Rows { rows: vec![1.5, f64::NAN] }
}

#[task(retries = 2)]
pub(crate) fn infinite() -> f32 {
    f32::INFINITY
}

#[task(retries = 2)]
pub(crate) fn half(x: f64) -> f64 {
    x / 2.0
}

/// In JSON all keys are text.
#[task(retries = 2)]
pub(crate) fn unstorable() -> BTreeMap<(u8, u8), u8> {
    BTreeMap::from([((1, 2), 3)])
}

/// A value that holds itself.
#[derive(retake::schemars::JsonSchema)]
#[schemars(crate = "retake::schemars", transparent)]
pub(crate) struct Ring(#[schemars(with = "Value")] RefCell<Option<Rc<Ring>>>);

impl Serialize for Ring {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.borrow().as_deref())
    }
}

impl<'de> retake::serde::Deserialize<'de> for Ring {
    fn deserialize<D: retake::serde::Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
        Ok(Self(RefCell::new(None)))
    }
}

#[task(retries = 2)]
pub(crate) fn cycle() -> Ring {
    let ring = Rc::new(Ring(RefCell::new(None)));
    *ring.0.borrow_mut() = Some(Rc::clone(&ring));
    Ring(RefCell::new(Some(ring)))
}

// Exact at any size that the type has; a `Value` has 64 bits.
#[task]
pub(crate) fn same(n: i128) -> i128 {
    n
}

#[task]
pub(crate) fn none() -> Vec<i64> {
    Vec::default()
}

#[task(name = "none-mapped")]
pub(crate) fn none_mapped() -> BTreeMap<String, i64> {
    BTreeMap::default()
}

#[task]
pub(crate) fn count_items(items: Vec<i64>) -> usize {
    items.len()
}

#[task]
pub(crate) fn count_entries(items: BTreeMap<String, i64>) -> usize {
    items.len()
}

#[flow(name = "store-child")]
pub(crate) fn store_child(items: Value) -> usize {
    items.as_array().map(Vec::len).or_else(|| items.as_object().map(|it| it.len())).unwrap_or(99)
}

#[task]
#[allow(clippy::exit, reason = "what comes of it is what there is to see")]
pub(crate) fn exit() {
    std::process::exit(3);
}

#[task]
#[allow(clippy::indexing_slicing, reason = "what comes of it is what there is to see")]
pub(crate) fn reason() -> i64 {
    let place = if context().attempt > 0 { 5 } else { 0 };
    vec![1, 2, 3][place]
}

#[task(retries = 2)]
pub(crate) fn network() -> Result<usize> {
    let mut stream = std::net::TcpStream::connect("example.com:80")?;
    Ok(stream.write(b"GET / HTTP/1.0\r\n\r\n")?)
}

#[task(retries = 2)]
pub(crate) fn outer() -> Result<i128> {
    same(1)
}

#[data]
pub(crate) struct Options {
    #[serde(default = "three")]
    depth: u32,
}

fn three() -> u32 {
    3
}

#[task]
pub(crate) fn defaults(#[default(10)] limit: u32, #[default(Options { depth: 3 })] options: Options) -> (u32, u32) {
    (limit, options.depth)
}

/// What it comes to.
#[data]
#[serde(untagged)]
pub(crate) enum Stored {
    Number(i128),
    Other(Value),
}

/// What is stored, and how failures are told.
#[flow(log_prints)]
pub(crate) fn store(what: Case, #[default(Some("unset".to_owned()))] day: Option<String>) -> Result<Stored> {
    Ok(Stored::Other(match what {
        Case::Nan => json!(nan()?),
        Case::NanInside => json!(nan_inside()?),
        Case::Infinite => json!(infinite()?),
        Case::NanGiven => json!(half(f64::NAN)?),
        Case::Unstorable => json!(unstorable()?.len()),
        Case::Cycle => cycle().map(|_| Value::Null)?,
        Case::Big => return Ok(Stored::Number(same(9_007_199_254_740_993)?)),
        Case::Huge => return Ok(Stored::Number(same(123_456_789_012_345_678_901_234_567_890)?)),
        Case::EmptyList => {
            let list = none()?;
            json!([count_items(list.clone())?, store_child(json!(list))?])
        }
        Case::EmptyMap => {
            let map = none_mapped()?;
            json!([count_entries(map.clone())?, store_child(json!(map))?])
        }
        Case::HalfEmojiSaid => {
            let said = String::from_utf8_lossy(b"said \xf0\x9f").into_owned();
            std::io::stdout().write_all(b"printed \xf0\x9f\n")?;
            log::info!("{said}");
            return Err(Failure::new("demo.said", said));
        }
        Case::Exit => json!(exit()?),
        Case::Reason => json!(reason()?),
        Case::Network => json!(network()?),
        Case::LastPrint => {
            print!("no end of line");
            Value::Null
        }
        Case::TaskInTask => json!(outer()?.to_string()),
        Case::Default => retake::submit_task("defaults", &json!({}), retake::Options::default()).outcome()?,
        Case::NullOrUnset => json!(day.unwrap_or_else(|| "null".to_owned())),
    }))
}
