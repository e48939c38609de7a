//! Names that are given once: runs, tasks within runs, components, claims.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// Crockford's alphabet, lower case: no `i`, `l`, `o`, `u` to be misread.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of 128 bits in that alphabet.
const DIGITS: usize = 26;

/// Why a text is not the id that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// It is an id, of something else.
    #[error("expected the id of a {expected}, got the id of a {got}: `{text}`")]
    OtherKind {
        /// What was asked for.
        expected: &'static str,
        /// What the prefix says.
        got: &'static str,
        /// The text as given.
        text: String,
    },
    /// It is no id at all.
    #[error("expected the id of a {expected} like `{example}`, got `{text}`")]
    Malformed {
        /// What was asked for.
        expected: &'static str,
        /// What one looks like.
        example: &'static str,
        /// The text as given, cut to a readable length.
        text: String,
    },
}

/// One requested execution of a flow. Sorts by the time it was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowRunId(u128);

impl FlowRunId {
    const EXAMPLE: &'static str = "run_06ch2z5k9r3d7x1m8v4b0q2nwt";

    /// Makes an id from the instant of its making and 80 bits of randomness.
    pub fn new(at: Timestamp, random: u128) -> Self {
        Self((u128::from(at.as_unix_ms()) << 80) | (random & ((1 << 80) - 1)))
    }

    /// Returns an id beside this one that depends on it and on `digest`, and on nothing else.
    pub(crate) fn beside(self, digest: ContentDigest) -> Self {
        let random = digest.0[..10].iter().fold(0, |random, byte| random << 8 | u128::from(*byte));
        Self((self.0 >> 80 << 80) | random)
    }

    /// Takes back what [`FlowRunId::to_bytes`] gave.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Returns the id as 16 bytes that sort as the id does.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Returns the lowest and the highest id whose text begins with `prefix`, or `None` when none can.
    ///
    /// `prefix` is the text of an id, with or without `run_`, cut anywhere after its first character.
    pub fn range_of_prefix(prefix: &str) -> Option<(Self, Self)> {
        let digits = prefix.strip_prefix("run_").unwrap_or(prefix);
        if digits.is_empty() || digits.len() > DIGITS {
            return None;
        }
        let value = |fill: u8| {
            let mut text = digits.as_bytes().to_vec();
            text.resize(DIGITS, fill);
            decode(&text)
        };
        let low = value(b'0')?;
        // The first digit carries three bits only, so that the highest text is `7zzz…`.
        Some((Self(low), Self(value(b'z').unwrap_or(u128::MAX))))
    }

    /// Returns a name that people can say, the same each time: `brisk-otter`. Not unique.
    pub fn friendly_name(self) -> String {
        let mixed = mix(self.0 as u64);
        let pick = |list: &[&'static str], n: u64| list[(n % list.len() as u64) as usize];
        format!("{}-{}", pick(ADJECTIVES, mixed), pick(NOUNS, mixed >> 32))
    }

    /// Returns a number that depends on this run, on one call of it and on one attempt, and on nothing else.
    ///
    /// Jitter and a flow body's random numbers are drawn from it: a plan can show them and a test can predict them.
    pub fn entropy(self, call: u32, attempt: u32) -> u64 {
        let seed = mix(self.0 as u64) ^ mix((self.0 >> 64) as u64).rotate_left(17);
        mix(seed ^ mix(u64::from(call) << 32 | u64::from(attempt)))
    }
}

/// The finaliser of SplitMix64.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn decode(digits: &[u8]) -> Option<u128> {
    let mut value: u128 = 0;
    for (i, digit) in digits.iter().enumerate() {
        let digit = ALPHABET.iter().position(|it| it == digit)? as u128;
        if i == 0 && digit > 7 {
            return None;
        }
        value = (value << 5) | digit;
    }
    Some(value)
}

impl fmt::Display for FlowRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("run_")?;
        for i in (0..DIGITS).rev() {
            let digit = (self.0 >> (5 * i)) as usize & 31;
            write!(f, "{}", ALPHABET[digit] as char)?;
        }
        Ok(())
    }
}

impl fmt::Debug for FlowRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for FlowRunId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        const EXPECTED: &str = "flow run";
        if text.starts_with("task_") {
            return Err(BadId::OtherKind { expected: EXPECTED, got: "task run", text: cut(text) });
        }
        text.strip_prefix("run_")
            .filter(|digits| digits.len() == DIGITS)
            .and_then(|digits| decode(digits.as_bytes()))
            .map(Self)
            .ok_or_else(|| BadId::Malformed { expected: EXPECTED, example: Self::EXAMPLE, text: cut(text) })
    }
}

impl Serialize for FlowRunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FlowRunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// One task call of a flow run: the run, and which of its calls, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRunId {
    /// The flow run that made the call.
    pub run: FlowRunId,
    /// Which of its calls, counted from 1 in the order in which they were first made.
    pub number: u32,
}

impl fmt::Display for TaskRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.run.to_string();
        write!(f, "task_{}_{}", run.trim_start_matches("run_"), self.number)
    }
}

impl Serialize for TaskRunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for TaskRunId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let example = "task_01k0000000000000000000000_1";
        let bad = || BadId::Malformed { expected: "task run", example, text: cut(text) };
        let (run, number) = text.strip_prefix("task_").and_then(|it| it.rsplit_once('_')).ok_or_else(bad)?;
        Ok(Self { run: format!("run_{run}").parse()?, number: number.parse().map_err(|_| bad())? })
    }
}

impl<'de> Deserialize<'de> for TaskRunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// SHA-256 of some bytes: a component, an input, a large result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes back what [`ContentDigest::as_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 12 hexadecimal digits, enough for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentDigest {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId::Malformed { expected: "component", example: "64 hexadecimal digits", text: cut(text) };
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ContentDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The right to report on a claimed run: fresh for each claim, so that a late report is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence(u64);

impl Fence {
    /// Makes a fence from randomness. The top bit is dropped, because databases count in signed numbers.
    pub const fn new(random: u64) -> Self {
        Self(random & (u64::MAX >> 1))
    }

    /// Returns the fence as a number below 2⁶³.
    pub const fn get(self) -> u64 {
        self.0
    }
}

const ADJECTIVES: &[&str] = &[
    "able", "agile", "amber", "ample", "apt", "azure", "balmy", "bold", "brave", "breezy", "bright", "brisk", "calm",
    "candid", "cheery", "chief", "civil", "clear", "clever", "cobalt", "cosy", "crisp", "curious", "daring", "deft",
    "eager", "early", "earnest", "easy", "exact", "fabled", "fair", "famous", "fancy", "fine", "fleet", "fluent",
    "fond", "frank", "free", "fresh", "gentle", "glad", "golden", "grand", "green", "handy", "happy", "hardy",
    "hearty", "honest", "humble", "ideal", "jolly", "jovial", "keen", "kind", "large", "lasting", "light", "lively",
    "loyal", "lucid", "lucky", "magic", "mellow", "merry", "mighty", "mild", "modest", "neat", "nimble", "noble",
    "novel", "olive", "open", "orderly", "patient", "plucky", "polite", "prime", "proud", "prudent", "pure", "quick",
    "quiet", "rapid", "ready", "regal", "robust", "rosy", "royal", "ruby", "sage", "scarlet", "serene", "sharp",
    "shiny", "silent", "silver", "sincere", "smart", "smooth", "snug", "solar", "solid", "sound", "spry", "stable",
    "steady", "stout", "strong", "sunny", "swift", "tidy", "topaz", "true", "upbeat", "valiant", "velvet", "vivid",
    "warm", "whole", "wise", "witty", "worthy", "young", "zesty",
];
const NOUNS: &[&str] = &[
    "acorn",
    "albatross",
    "alder",
    "antelope",
    "ash",
    "aspen",
    "badger",
    "bay",
    "beaver",
    "beetle",
    "birch",
    "bison",
    "brook",
    "canyon",
    "cedar",
    "cheetah",
    "cliff",
    "clover",
    "comet",
    "condor",
    "coral",
    "cougar",
    "cove",
    "crane",
    "creek",
    "cricket",
    "crow",
    "cypress",
    "dale",
    "deer",
    "delta",
    "dolphin",
    "dove",
    "dune",
    "eagle",
    "egret",
    "elk",
    "elm",
    "ember",
    "falcon",
    "fern",
    "finch",
    "fjord",
    "forest",
    "fox",
    "frog",
    "garden",
    "gecko",
    "geyser",
    "glade",
    "glen",
    "grove",
    "gull",
    "harbor",
    "hare",
    "hawk",
    "hazel",
    "heath",
    "heron",
    "hill",
    "ibis",
    "iris",
    "island",
    "ivy",
    "jackal",
    "jay",
    "juniper",
    "kestrel",
    "kite",
    "koala",
    "lagoon",
    "lake",
    "larch",
    "lark",
    "laurel",
    "lemur",
    "lily",
    "lion",
    "lynx",
    "magpie",
    "maple",
    "marmot",
    "marsh",
    "marten",
    "meadow",
    "meteor",
    "mink",
    "moose",
    "moss",
    "newt",
    "oak",
    "ocelot",
    "orca",
    "orchid",
    "oriole",
    "osprey",
    "otter",
    "owl",
    "panda",
    "panther",
    "pebble",
    "pelican",
    "pika",
    "pine",
    "plover",
    "pond",
    "poplar",
    "prairie",
    "puffin",
    "quail",
    "rapids",
    "raven",
    "reef",
    "ridge",
    "river",
    "robin",
    "rowan",
    "salmon",
    "seal",
    "sparrow",
    "spruce",
    "stork",
    "swan",
    "thrush",
    "tiger",
    "trout",
    "tundra",
    "turtle",
    "valley",
    "walrus",
    "willow",
    "wolf",
    "wren",
    "yak",
    "zebra",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_lead_back_to_the_id() {
        for random in [0, 1, 12345, u128::MAX] {
            let id = FlowRunId::new(Timestamp::from_unix_ms(1_795_000_000_000), random);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(FlowRunId::from_bytes(id.to_bytes()), id);
        }
        assert!(FlowRunId::EXAMPLE.parse::<FlowRunId>().is_ok());
        let digest = ContentDigest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn id_of_another_kind_is_refused_by_name() {
        let id = FlowRunId::new(Timestamp::default(), 7);
        let task = TaskRunId { run: id, number: 3 }.to_string();
        let error = task.parse::<FlowRunId>().unwrap_err();
        assert!(error.to_string().contains("expected the id of a flow run, got the id of a task run"), "{error}");
    }

    #[test]
    fn every_prefix_covers_its_id() {
        let id = FlowRunId::new(Timestamp::from_unix_ms(1_795_000_000_000), 0xdead_beef_dead_beef);
        let text = id.to_string();
        for end in 5..=text.len() {
            let (low, high) = FlowRunId::range_of_prefix(&text[..end]).unwrap();
            assert!(low <= id && id <= high, "{}", &text[..end]);
        }
        assert_eq!(FlowRunId::range_of_prefix("brisk-otter"), None);
        assert_eq!(FlowRunId::range_of_prefix("run_"), None);
    }
}
