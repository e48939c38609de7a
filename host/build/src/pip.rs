//! Tools that pip installs: several languages' compilers are packages of Python's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Kind, Result};
use crate::steps::{Tell, command, peek, tools_dir, work};

/// Starts pip, wherever this machine has it, but not a file of the project that is called as one of its modules.
const PIP: &str = "
import runpy, sys
sys.path[:] = [it for it in sys.path if it]
runpy.run_module('pip', run_name='__main__', alter_sys=True)
";

/// Returns where packages are, in these versions and in a directory of their own; installs them unless they are there.
/// `why` says what they are for.
pub(crate) fn ensure(packages: &[&str], program: &str, why: &str, dir: &Path, tell: Tell<'_>) -> Result<PathBuf> {
    if peek(python(dir).args(["-c", PIP, "--version"])).is_none() {
        let message =
            format!("`python3 -m pip` does not answer, and is needed to install {}: {why}", packages.join(" and "));
        return Err(Error::new(
            Kind::Missing,
            message,
            "`apt-get install python3-pip`, or what this machine has for it",
        ));
    }
    let name = packages.first().copied().unwrap_or_default().replace("==", "-");
    let home = tools_dir()?.join(name);
    if peek(program_of(&home, program, dir).arg("--version")).is_none() && !home.join("complete").is_file() {
        tell(&format!("installing {} with pip into {}: {why}", packages.join(" and "), home.display()));
        work(pip(&home, dir).args(packages))?;
        crate::steps::write(&home.join("complete"), "")?;
    }
    Ok(home)
}

/// Returns a program of packages that were installed there.
pub(crate) fn program_of(home: &Path, program: &str, dir: &Path) -> Command {
    let mut command = command(home.join("bin").join(program), dir);
    command.env("PYTHONPATH", home);
    command
}

/// Installs packages into a directory of their own.
pub(crate) fn pip(into: &Path, dir: &Path) -> Command {
    let mut pip = python(dir);
    pip.args(["-c", PIP, "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    // What else this machine has is not the author's concern, and not looked at.
    pip.args(["--no-warn-conflicts", "--target"]).arg(into);
    pip.env("PIP_ROOT_USER_ACTION", "ignore"); // The directory is our own.
    pip
}

/// Returns a command of this machine's Python, without what somebody has set for programs of their own.
fn python(dir: &Path) -> Command {
    let mut python = command("python3", dir);
    for name in ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"] {
        python.env_remove(name);
    }
    python
}
