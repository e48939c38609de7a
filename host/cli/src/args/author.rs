//! What can be typed to make, build and try projects.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// The project's name, which its directory and its flow get, too; a path before it says where
    #[arg(value_name = "NAME")]
    pub(crate) name: PathBuf,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = LanguageWord::Rust)]
    pub(crate) lang: LanguageWord,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LanguageWord {
    Rust,
    Python,
    /// Or TypeScript
    #[value(name = "javascript", alias = "typescript")]
    JavaScript,
    Go,
    C,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// The directory of the project
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Write the component to this file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dev {
    /// The directory of the project
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The name under which each flow is deployed
    #[arg(short, long, value_name = "NAME", default_value = "dev")]
    pub(crate) name: String,
    /// Where to listen, when no server works on the data directory
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7420", env = "RETAKE_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Open the web UI in a browser, signed in, once it is deployed
    #[arg(long)]
    pub(crate) open: bool,
}
