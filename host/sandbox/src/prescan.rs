//! A linear look at an upload before anything dear is done with it.
//!
//! Bytes do not bound what compiling costs: 60 KiB of nested loops cost more than 20 seconds of a processor. So each
//! function is walked once, and what grows faster than linearly in the compiler is bounded here (T15, T16).

use wasmparser::{Encoding, FunctionBody, Operator, Parser, Payload};

use crate::inspect::Refusal;

/// Most functions over all modules of a component.
const FUNCTIONS: u32 = 100_000;
/// Largest body of one function, in bytes.
const BODY_BYTES: usize = 512 << 10;
/// Deepest nesting of blocks in one function. CPython, as a component, has 781.
const NESTING: usize = 1000;
/// Most blocks in one function: 50,000 one after the other, which are 250 KB, cost 9 seconds. CPython has 3,112.
const BLOCKS: u64 = 10_000;
/// Most work that grows faster than linearly, over all functions: about 4 seconds. The square of a function's blocks,
/// and of its nesting, which costs twenty times as much. CPython has 34 million.
const WORK: u64 = 1_000_000_000;
const NESTING_WORK: u64 = 20;
/// Most locals of one function.
const LOCALS: u32 = 5000;
/// Most targets of one `br_table`.
const TARGETS: u32 = 16 << 10;
/// Most modules and components inside one component.
const NESTED: u32 = 64;

/// What a component imports and exports, by the names of its interfaces.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
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
    let bound = |what: &str, got: u64, most: u64| {
        if got <= most { Ok(()) } else { Err(Refusal::TooMuch { what: what.to_owned(), got, most }) }
    };
    let mut scanned = Scanned::default();
    let (mut depth, mut functions, mut nested, mut work) = (0u32, 0u64, 0u64, 0u64);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                nested += 1;
                if depth == 1 && encoding == Encoding::Module {
                    return Err(Refusal::CoreModule);
                }
                bound("modules and components", nested, NESTED.into())?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::FunctionSection(section) => {
                functions += u64::from(section.count());
                bound("functions", functions, FUNCTIONS.into())?;
            }
            Payload::CodeSectionEntry(body) => {
                work += function(&body, &bound).map_err(|it| match it {
                    Walk::Read(error) => malformed(error),
                    Walk::Bound(refusal) => refusal,
                })?;
                bound("squares of blocks over all functions", work, WORK)?;
            }
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

/// Returns how much work that grows faster than linearly a function is.
fn function(body: &FunctionBody<'_>, bound: &impl Fn(&str, u64, u64) -> Result<(), Refusal>) -> Result<u64, Walk> {
    let bounded = |what: &str, got: u64, most: u64| bound(what, got, most).map_err(Walk::Bound);
    let range = body.range();
    bounded("bytes in one function", range.end as u64 - range.start as u64, BODY_BYTES as u64)?;
    let mut locals = 0u64;
    for local in body.get_locals_reader()? {
        locals += u64::from(local?.0);
    }
    bounded("locals in one function", locals, LOCALS.into())?;
    let mut operators = body.get_operators_reader()?;
    let (mut blocks, mut nesting, mut deepest) = (0u64, 0u64, 0u64);
    while !operators.eof() {
        match operators.read()? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                (blocks, nesting) = (blocks + 1, nesting + 1);
                deepest = deepest.max(nesting);
                bounded("nested blocks in one function", nesting, NESTING as u64)?;
                bounded("blocks in one function", blocks, BLOCKS)?;
            }
            Operator::End => nesting = nesting.saturating_sub(1),
            Operator::BrTable { targets } => bounded("targets of one branch", targets.len().into(), TARGETS.into())?,
            _ => {}
        }
    }
    Ok(blocks * blocks + NESTING_WORK * deepest * deepest)
}
