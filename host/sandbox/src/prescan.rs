//! A linear look at an upload before anything dear is done with it.
//!
//! Bytes do not bound what compiling costs: 60 KiB of nested loops cost more than 20 seconds of a processor. So each
//! function is walked once, and what grows faster than linearly in the compiler is bounded here (T15, T16).

use wasmparser::{Encoding, FunctionBody, Operator, Parser, Payload};

use crate::inspect::Refusal;

/// How much more nesting costs than blocks side by side.
const NESTING_WORK: u64 = 20;

/// How much of a bound on what is compiled a component needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Of what.
    pub what: &'static str,
    /// The most that it has.
    pub got: u64,
    /// The most that is allowed.
    pub most: u64,
}

impl Used {
    const fn none_of(what: &'static str, most: u64) -> Self {
        Self { what, got: 0, most }
    }

    fn see(&mut self, got: u64) -> Result<(), Refusal> {
        self.got = self.got.max(got);
        if got <= self.most {
            Ok(())
        } else {
            Err(Refusal::TooMuch { what: self.what.to_owned(), got, most: self.most })
        }
    }

    fn add(&mut self, more: u64) -> Result<(), Refusal> {
        self.see(self.got + more)
    }
}

/// What is bounded, at how much, and the most that was seen. What interpreters have, counted: docs/sandbox.md.
#[derive(Debug)]
pub(crate) struct Seen {
    functions: Used,
    body_bytes: Used,
    nesting: Used,
    /// 50,000 one after the other, which are 250 KB, cost 9 seconds.
    blocks: Used,
    /// What grows faster than linearly, about 4 seconds: the square of a function's blocks, and of its nesting.
    work: Used,
    locals: Used,
    targets: Used,
    nested: Used,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            functions: Used::none_of("functions", 100_000),
            body_bytes: Used::none_of("bytes in one function", 768 << 10),
            nesting: Used::none_of("nested blocks in one function", 1000),
            blocks: Used::none_of("blocks in one function", 10_000),
            work: Used::none_of("squares of blocks over all functions", 1_000_000_000),
            locals: Used::none_of("locals in one function", 5000),
            targets: Used::none_of("targets of one branch", 16 << 10),
            nested: Used::none_of("modules and components", 64),
        }
    }
}

impl Seen {
    pub(crate) fn used(&self) -> Vec<Used> {
        let Self { functions, body_bytes, nesting, blocks, work, locals, targets, nested } = *self;
        vec![functions, body_bytes, nesting, blocks, work, locals, targets, nested]
    }
}

/// What a component imports and exports, by the names of its interfaces.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    pub(crate) seen: Seen,
}

/// Walks `bytes` once.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scanned, Refusal> {
    let malformed = |error: wasmparser::BinaryReaderError| {
        if error.offset() >= bytes.len() as u64 as usize || error.message().contains("unexpected end") {
            Refusal::Truncated { bytes: bytes.len() }
        } else {
            Refusal::Malformed { message: error.message().to_owned(), offset: error.offset() }
        }
    };
    let mut scanned = Scanned::default();
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                if depth == 1 && encoding == Encoding::Module {
                    return Err(Refusal::CoreModule);
                }
                scanned.seen.nested.add(1)?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::FunctionSection(section) => scanned.seen.functions.add(section.count().into())?,
            Payload::CodeSectionEntry(body) => function(&body, &mut scanned.seen).map_err(|it| match it {
                Walk::Read(error) => malformed(error),
                Walk::Bound(refusal) => refusal,
            })?,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    scanned.imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    scanned.exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(scanned)
}

enum Walk {
    Read(wasmparser::BinaryReaderError),
    Bound(Refusal),
}

impl From<wasmparser::BinaryReaderError> for Walk {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Read(error)
    }
}

impl From<Refusal> for Walk {
    fn from(refusal: Refusal) -> Self {
        Self::Bound(refusal)
    }
}

fn function(body: &FunctionBody<'_>, seen: &mut Seen) -> Result<(), Walk> {
    let range = body.range();
    seen.body_bytes.see(range.end as u64 - range.start as u64)?;
    let mut locals = 0u64;
    for local in body.get_locals_reader()? {
        locals += u64::from(local?.0);
    }
    seen.locals.see(locals)?;
    let mut operators = body.get_operators_reader()?;
    let (mut blocks, mut nesting, mut deepest) = (0u64, 0u64, 0u64);
    while !operators.eof() {
        match operators.read()? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                (blocks, nesting) = (blocks + 1, nesting + 1);
                deepest = deepest.max(nesting);
                seen.nesting.see(nesting)?;
                seen.blocks.see(blocks)?;
            }
            Operator::End => nesting = nesting.saturating_sub(1),
            Operator::BrTable { targets } => seen.targets.see(targets.len().into())?,
            _ => {}
        }
    }
    Ok(seen.work.add(blocks * blocks + NESTING_WORK * deepest * deepest)?)
}
