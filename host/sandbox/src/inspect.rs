//! What is done with an upload before anything is kept of it.

use std::pin::pin;
use std::time::Duration;

use retake_core::component::{AttemptLimits, ComponentInfo};
use retake_core::failure::Failure;
use retake_core::id::ContentDigest;
use retake_core::limits;
use retake_core::retry::BadField;
use retake_core::task::LogLine;
use retake_core::time::Timestamp;

use crate::abi::{self, Loaded};
use crate::attempt::{self, Host};
use crate::limits::{DESCRIBE_FUEL, Meter};
use crate::logs::Sink;
use crate::prescan::Used;
use crate::{Sandbox, prescan, trap};

/// What `describe` may use. Half a minute of interpreter start-up is somebody else's problem.
const DESCRIBE: AttemptLimits = AttemptLimits {
    memory_bytes: limits::MEMORY_MAX,
    cpu_time: Duration::from_secs(5),
    timeout: Some(Duration::from_secs(10)),
};

/// What is known of a component that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// SHA-256 of the bytes.
    pub digest: ContentDigest,
    /// Length of the bytes.
    pub bytes: u64,
    /// What it says about itself, within all bounds.
    pub info: ComponentInfo,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// How much of each bound on what is compiled it needs.
    pub used: Vec<Used>,
}

/// Why an upload is not a component that can be run here.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is in it.
    #[error("the file is empty")]
    Empty,
    /// It is something else.
    #[error("the file is {0}, not a WebAssembly component")]
    SomethingElse(&'static str),
    /// It is over the limit.
    #[error("the file has {got} bytes, at most {} are accepted", limits::COMPONENT_BYTES)]
    TooLarge {
        /// Its length.
        got: usize,
    },
    /// It is a core module.
    #[error("the file is a WebAssembly core module, not a component")]
    CoreModule,
    /// Its end is missing.
    #[error("the file ends too early, after {bytes} bytes")]
    Truncated {
        /// Its length.
        bytes: usize,
    },
    /// It breaks the format.
    #[error("the file is damaged at byte {offset}: {message}")]
    Malformed {
        /// What the parser says.
        message: String,
        /// Where.
        offset: usize,
    },
    /// Something in it is over a bound of the inspection.
    #[error("the component has {got} {what}, at most {most} are accepted")]
    TooMuch {
        /// What is counted.
        what: String,
        /// How much there is.
        got: u64,
        /// How much is accepted.
        most: u64,
    },
    /// It imports what the host does not offer.
    #[error("the component imports `{import}`, {why}")]
    Import {
        /// The interface.
        import: String,
        /// A sentence's end.
        why: String,
    },
    /// It is made for another version of the contract.
    #[error("the component exports `{0}`, and the host offers version 0.1.0 of it")]
    OtherContract(String),
    /// It lacks our export, and has no other that could be a flow.
    #[error("the component does not export `{plugin}`, nor a function that could be a flow: {0}", plugin = abi::PLUGIN)]
    NoExport(String),
    /// It does not compile or link.
    #[error("the component does not load: {0}")]
    Load(String),
    /// Asked to describe itself it failed.
    #[error("`describe` failed: {}: {}", .0.code, .0.message)]
    Describe(Failure),
    /// It described itself in two ways.
    #[error("`describe` gave two different answers")]
    Differs,
    /// Its metadata breaks a bound.
    #[error("the metadata is out of bounds: {0}")]
    Metadata(#[from] BadField),
}

impl Refusal {
    /// Returns what to try.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Truncated { .. } | Self::Malformed { .. } => {
                "build it again, or copy it again: `cargo build --release --target wasm32-wasip2`"
            }
            Self::SomethingElse(_) => "give the `.wasm` file that `cargo build --target wasm32-wasip2` makes",
            Self::CoreModule => {
                "build for `wasm32-wasip2` instead of `wasm32-wasip1` or `wasm32-unknown-unknown`, or wrap it with \
                 `wasm-tools component new`"
            }
            Self::TooLarge { .. } => "build with `opt-level = \"s\"`, `lto = true` and `strip = true`",
            Self::TooMuch { .. } => "generated code is often the cause: split it, or build with `opt-level = \"s\"`",
            Self::Import { .. } => "remove the dependency that needs it; `retake doctor` lists what a flow may import",
            Self::OtherContract(_) => "build it with the `retake` crate that belongs to this host: `retake version`",
            Self::NoExport(_) => {
                "write it with an SDK, as `retake new NAME` does; or export a function of plain values, and it is a flow"
            }
            Self::Load(_) => "build it with a current toolchain for WASI 0.2",
            Self::Describe(_) | Self::Differs => {
                "a component describes itself before it runs, where it may do nothing: no clock, no randomness, nothing \
                 that can fail"
            }
            Self::Metadata(_) => "change what is named, where the flow or task is declared, and build again",
        }
    }
}

impl Sandbox {
    /// Inspects an upload: looks at it, compiles it, and asks it twice to describe itself, in a sandbox that may do
    /// nothing. What it compiled is at hand for the first run.
    pub async fn inspect(&self, bytes: Vec<u8>) -> Result<Inspection, Refusal> {
        self.inspect_as(ContentDigest::of(&bytes), bytes).await
    }

    /// The same for a component whose digest is known.
    pub(crate) async fn inspect_as(&self, digest: ContentDigest, bytes: Vec<u8>) -> Result<Inspection, Refusal> {
        let (bytes, scanned) = tokio::task::spawn_blocking(move || {
            let scanned = look(&bytes);
            (bytes, scanned)
        })
        .await
        .map_err(|it| Refusal::Load(it.to_string()))?;
        let scanned = scanned?;
        let length = bytes.len() as u64;
        let cached = self.cache.as_ref().and_then(|it| it.load(&self.engine, digest));
        let component = match cached {
            Some(component) => component,
            None => self.compile(digest, bytes).await.map_err(Refusal::Load)?,
        };
        let loaded = self.link(&component).map_err(|it| match it {
            abi::Unloadable::Link(why) => Refusal::Load(why),
            abi::Unloadable::NoFlow(why) => Refusal::NoExport(why),
        })?;
        let info = self.describe(&loaded, 1).await?;
        if self.describe(&loaded, 2).await? != info {
            return Err(Refusal::Differs);
        }
        info.check()?;
        Ok(Inspection { digest, bytes: length, info, imports: scanned.imports, used: scanned.seen.used() })
    }

    /// Asks a component to describe itself. Clock and random numbers differ from one `time` to the next, so that an
    /// answer that depends on them is found out.
    async fn describe(&self, loaded: &Loaded, time: u64) -> Result<ComponentInfo, Refusal> {
        struct Nowhere;
        impl retake_core::port::Logs for Nowhere {
            fn line(&self, _: LogLine) {}
        }
        let sink = Sink::new(std::sync::Arc::new(Nowhere), self.clock.clone(), None, 1, false);
        let now = Timestamp::from_unix_ms(time.wrapping_mul(0x5DEE_CE66D));
        let meter = Meter::new(&DESCRIBE);
        let mut store =
            attempt::store(self, Host::Describe(now), None, sink.clone(), Some(time), &DESCRIBE, meter.clone());
        store.set_hostcall_fuel(DESCRIBE_FUEL);
        let running = self.ticker.running();
        let described = {
            let guest = pin!(loaded.describe(&mut store));
            tokio::time::timeout(DESCRIBE.timeout.unwrap_or_default(), meter.charge(guest)).await
        };
        drop(running);
        let failure = match described {
            Ok(Ok(info)) => return Ok(info?),
            Ok(Err(error)) => {
                let words = sink.close().last_words;
                trap::failure(&error, &DESCRIBE, store.data(), &words)
            }
            Err(_) => Failure::new(retake_core::failure::code::TIMEOUT, "took longer than 10 s"),
        };
        Err(Refusal::Describe(failure))
    }
}

/// Everything that can be said without compiling.
fn look(bytes: &[u8]) -> Result<prescan::Scanned, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if bytes.len() > limits::COMPONENT_BYTES {
        return Err(Refusal::TooLarge { got: bytes.len() });
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(match kind_of(bytes) {
            _ if b"\0asm".starts_with(bytes) => Refusal::Truncated { bytes: bytes.len() },
            Some(kind) => Refusal::SomethingElse(kind),
            None => Refusal::SomethingElse("of an unknown kind"),
        });
    }
    let scanned = prescan::scan(bytes)?;
    for import in &scanned.imports {
        import_is_offered(import)?;
    }
    if !scanned.exports.iter().any(|it| it == abi::PLUGIN) {
        // What has none of them may have functions that are flows by themselves.
        let other = scanned.exports.iter().find(|it| it.starts_with("retake:flow/plugin@"));
        return other.map_or(Ok(()), |it| Err(Refusal::OtherContract(it.clone()))).map(|()| scanned);
    }
    Ok(scanned)
}

/// Refuses what the host does not offer, and says what it would be for.
fn import_is_offered(import: &str) -> Result<(), Refusal> {
    const WASI: [&str; 6] =
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let why = if WASI.iter().any(|it| interface.starts_with(it)) {
        if version.starts_with("0.2.") {
            return Ok(());
        }
        format!("and the host offers WASI 0.2, not {version}")
    } else if interface.starts_with("retake:flow/") {
        if version == "0.1.0" {
            return Ok(());
        }
        format!("and the host offers version 0.1.0 of it, not {version}")
    } else if interface.starts_with("wasi:http/") {
        "and outbound HTTP cannot be granted yet".to_owned()
    } else {
        "which the host does not offer".to_owned()
    };
    Err(Refusal::Import { import: import.to_owned(), why })
}

/// Recognises what people take for a component by mistake.
fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 9] = [
        (b"\x89PNG", "a PNG image"),
        (b"\x7fELF", "a native program"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "gzip-compressed"),
        (b"(component", "WebAssembly text"),
        (b"(module", "WebAssembly text"),
        (b"%PDF", "a PDF document"),
        (b"#!", "a script"),
        (b"{", "JSON text"),
    ];
    let known = kinds.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind);
    known.or_else(|| std::str::from_utf8(&bytes[..bytes.len().min(64)]).is_ok().then_some("plain text"))
}
