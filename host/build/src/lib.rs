//! From a directory of sources to a component.
//!
//! [`Project::find`] tells by its files which [`Language`] a directory is written in, [`Project::build`] finds that
//! language's compiler, installs what can be installed without asking, and builds; [`create`] makes a directory that
//! builds. The CLI and xtask both build by it, so what is known of toolchains stands here once.
//!
//! It prints nothing itself: what is done next is told to a [`Tell`], and what compilers say goes to stderr. It does
//! not look into what was built, and knows nothing of the rest of the host.
//!
//! Another language is another variant of [`Language`] and another module beside `rust`, `python`, `javascript`, `go` and `c`.

mod c;
mod core;
mod create;
mod error;
mod go;
mod javascript;
mod pip;
mod project;
mod python;
mod rust;
mod sdk;
pub mod steps;
pub mod wasi;
mod watch;

pub use create::create;
pub use error::{Error, Kind, Result};
pub use project::{Built, How, Language, Project};
pub use steps::Tell;
pub use watch::{Look, Sources};
