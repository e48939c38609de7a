//! What the operator keeps for a flow.

use serde::de::DeserializeOwned;

use crate::{Failure, Result, host};

/// Returns the secret called `name`.
///
/// It must be asked for in the attribute, `secrets = ["shop-token"]`, and granted by the
/// deployment. Fails with `sandbox.denied` otherwise.
///
/// ```no_run
/// # fn main() -> retake::Result<()> {
/// let token = retake::secret("shop-token")?;
/// # Ok(()) }
/// ```
pub fn secret(name: &str) -> Result<String> {
    host::secret(name).map_err(Failure::from_wire)
}

/// Returns the variable called `name`, a JSON value that the operator may change at any time.
///
/// It must be asked for in the attribute, `variables = ["batch-size"]`, and granted by the
/// deployment. Fails with `sandbox.denied` otherwise, and with `serde_json.Error` when the value
/// is of another type.
///
/// ```no_run
/// # fn main() -> retake::Result<()> {
/// let batch_size: u32 = retake::variable("batch-size")?;
/// # Ok(()) }
/// ```
pub fn variable<T: DeserializeOwned>(name: &str) -> Result<T> {
    let text = host::variable(name).map_err(Failure::from_wire)?;
    Ok(crate::json::read(&text)?)
}
