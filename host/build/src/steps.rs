//! Running other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{During, Error, Kind, Result};

/// The contract.
pub(crate) const WIT: &str = include_str!("../../../wit/v0.1/flow.wit");

/// Whoever is told what is done next.
pub type Tell<'a> = &'a (dyn Fn(&str) + Sync);

/// Returns a command that runs in a directory.
pub fn command(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    command
}

/// Returns a command of cargo that runs in a directory: of the cargo that runs us, if one does.
pub fn cargo(dir: &Path) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), dir);
    // `cargo run` sets these for us. Crates that look at them would be built twice.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command to its end, its output shown.
pub fn run(command: &mut Command) -> Result<()> {
    check(command.status(), command)
}

/// Runs a command to its end; what it prints goes to stderr, because our stdout is for answers.
pub(crate) fn work(step: &mut Command) -> Result<()> {
    run(step.stdout(std::io::stderr()))
}

/// Runs a command to its end and returns what it printed on stdout.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output();
    let status = output.as_ref().map(|it| it.status).map_err(|it| it.kind().into());
    check(status, command)?;
    Ok(output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default())
}

/// Runs a command without showing anything, and returns what it printed on stdout if it succeeded.
pub fn peek(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command for at most this long. Whether it succeeded is for the caller to find out.
pub(crate) fn work_at_most(step: &mut Command, limit: Duration, tell: Tell<'_>) -> Result<()> {
    let spawned = step.stdin(Stdio::null()).stdout(std::io::stderr()).spawn();
    let mut child = spawned.map_err(|it| not_started(step, &it))?;
    let until = Instant::now() + limit;
    while running(&mut child, step)? {
        if Instant::now() >= until {
            tell(&format!("`{}` took longer than {} s and is stopped", shown(step), limit.as_secs()));
            end(&mut child);
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Runs a command to its end, or until `stop`; what it prints on stdout is not shown. Whether it succeeded is for the caller.
pub(crate) fn work_until(step: &mut Command, stop: &AtomicBool) -> Result<ExitStatus> {
    let spawned = step.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut child = spawned.map_err(|it| not_started(step, &it))?;
    until_ended(&mut child, step, stop)?;
    child.wait().map_err(|it| Error::machine(format!("`{}` cannot be waited for", shown(step))).cause(it))
}

/// Waits until a child has ended, or ends it when it is told to stop.
pub(crate) fn until_ended(child: &mut Child, of: &Command, stop: &AtomicBool) -> Result<()> {
    while running(child, of)? {
        if stop.load(Ordering::Relaxed) {
            end(child);
            return Err(Error::new(Kind::Stopped, "the build was stopped", "start it again"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn running(child: &mut Child, of: &Command) -> Result<bool> {
    let ended =
        child.try_wait().map_err(|it| Error::machine(format!("`{}` cannot be waited for", shown(of))).cause(it));
    Ok(ended?.is_none())
}

/// Ends a child, whatever it is doing.
fn end(child: &mut Child) {
    // It may have ended by itself: that is as good.
    let _ = child.kill();
    let _ = child.wait();
}

fn check(status: std::io::Result<ExitStatus>, command: &Command) -> Result<()> {
    let status = status.map_err(|it| not_started(command, &it))?;
    if !status.success() {
        let message = format!("`{}` failed ({status})", shown(command));
        return Err(Error::machine(message).hint("what it said stands above"));
    }
    Ok(())
}

pub(crate) fn not_started(command: &Command, why: &std::io::Error) -> Error {
    let message = format!("`{}` could not be started", shown(command));
    match why.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(Kind::Missing, message, "install it, or add the directory where it is to `PATH`").cause(why)
        }
        _ => Error::machine(message).cause(why),
    }
}

/// Writes a file, unless it is so already.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    write_bytes(file, text.as_bytes())
}

/// The same for bytes.
pub(crate) fn write_bytes(file: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(file).is_ok_and(|it| it == bytes) {
        return Ok(());
    }
    let dir = file.parent().unwrap_or(file);
    std::fs::create_dir_all(dir).during(|| format!("`{}` cannot be made", dir.display()))?;
    std::fs::write(file, bytes).during(|| format!("`{}` cannot be written", file.display()))
}

/// Returns where a project's SDK is: in its own `retake-sdk`, where that has the file by which the SDK is known, or else in
/// `out`, written there from what this binary carries.
pub(crate) fn sdk(dir: &Path, out: &Path, mark: &str, carried: &[(&str, &str)]) -> Result<PathBuf> {
    let own = dir.join("retake-sdk");
    if own.join(mark).is_file() {
        return Ok(own);
    }
    let sdk = out.join("sdk");
    for (path, text) in carried {
        write(&sdk.join(path), text)?;
    }
    Ok(sdk)
}

/// Returns a command as a person would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program()).to_owned();
    let words = std::iter::once(program.as_os_str()).chain(command.get_args());
    words.map(|it| quoted(&it.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// Returns a word as a shell has to be told it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,@+".contains(c);
    if word.chars().all(plain) && !word.is_empty() { word.to_owned() } else { format!("'{word}'") }
}

/// Returns the directory for tools that are installed on the way, so that each project finds them: `RETAKE_TOOLS`, or
/// `retake` in the user's cache directory.
pub fn tools_dir() -> Result<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    if let Some(dir) = var("RETAKE_TOOLS") {
        return std::path::absolute(&dir).map_err(|it| Error::machine(format!("`{}`", dir.display())).cause(it));
    }
    let cache = var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")));
    cache.map(|it| it.join("retake")).ok_or_else(|| {
        Error::new(
            Kind::Machine,
            "there is no home directory to install tools in",
            "name one: `export RETAKE_TOOLS=DIR`",
        )
    })
}
