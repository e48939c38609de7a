//! Compiling in a process of its own: what a component makes of the compiler's memory and time ends with it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use retake_core::id::ContentDigest;
use retake_core::limits;
use rustix::process::{Resource, Rlimit, setrlimit};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Cache;

/// Components that are not larger are compiled here: they take less time than a process.
pub(crate) const SMALL_BYTES: usize = 2 << 20;
/// How long a component may take to compile.
const WALL: Duration = Duration::from_secs(300);
/// How much memory the compiler may have.
const MEMORY: u64 = 4 << 30;
/// How much of what it says is read.
const SAID: u64 = 2 << 10;

/// A program that compiles. It is started with these arguments and the directory for compiled code, without an
/// environment; it calls [`compile`] with its stdin.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// Which program.
    pub program: PathBuf,
    /// What stands before the directory.
    pub args: Vec<OsString>,
}

impl Compiler {
    /// Compiles a component into the directory for compiled code; `None` when the program could not be started.
    pub(crate) fn run(&self, cache: &Path, bytes: &[u8]) -> Option<Result<(), String>> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(cache).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        match command.spawn() {
            Ok(child) => Some(ended(child, bytes)),
            // It may have been replaced since we were started.
            Err(error) => {
                tracing::warn!(program = %self.program.display(), %error, "cannot be started; compiling here instead");
                None
            }
        }
    }
}

fn ended(mut child: Child, bytes: &[u8]) -> Result<(), String> {
    // It reads everything before it does anything; where it ends early, its own words say why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(bytes));
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < WALL => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it takes more than {} s to compile", WALL.as_secs()));
            }
            Err(error) => return Err(format!("the compiler cannot be waited for: {error}")),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = Vec::new();
    let _ = child.stderr.take().map(|it| it.take(SAID).read_to_end(&mut said));
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Err(match said.is_empty() {
        true => format!("the compiler ended early ({status}): it may have needed more than {} GiB", MEMORY >> 30),
        false => said,
    })
}

/// Compiles a component, which `from` holds, into a directory for compiled code, in a process that is there for nothing
/// else: its memory is bounded from now on.
///
/// # Errors
///
/// Why it does not compile, in words.
pub fn compile(dir: &Path, from: impl Read) -> Result<(), String> {
    let bound = |most| Rlimit { current: Some(most), maximum: Some(most) };
    for (resource, most) in [(Resource::Data, MEMORY), (Resource::Cpu, 2 * WALL.as_secs()), (Resource::Core, 0)] {
        setrlimit(resource, bound(most)).map_err(|it| it.to_string())?;
    }
    let mut bytes = Vec::new();
    from.take(limits::COMPONENT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|it| it.to_string())?;
    let engine = Engine::new(&crate::engine::config(1)).map_err(|it| format!("{it:#}"))?;
    let component = Component::from_binary(&engine, &bytes).map_err(|it| format!("{it:#}"))?;
    let cache = Cache::open(dir).map_err(|it| format!("`{}`: {it}", dir.display()))?;
    cache.keep(&engine, ContentDigest::of(&bytes), &component).map_err(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(program: &str, args: &[&str]) -> Option<Result<(), String>> {
        let compiler = Compiler { program: program.into(), args: args.iter().map(Into::into).collect() };
        compiler.run(Path::new("/nowhere"), &vec![0; 1 << 20])
    }

    #[test]
    fn what_the_compiler_says_is_the_reason() {
        assert_eq!(said("/bin/sh", &["-c", "echo no such thing >&2; exit 1"]), Some(Err("no such thing".into())));
        assert!(said("/bin/sh", &["-c", "kill -9 $$"]).unwrap().unwrap_err().contains("ended early"));
        assert_eq!(said("/bin/sh", &["-c", "cat > /dev/null; [ -z \"$HOME\" ]"]), Some(Ok(())));
        assert_eq!(said("/bin/nothing-of-the-kind", &[]), None);
    }
}
