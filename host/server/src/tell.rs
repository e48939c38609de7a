//! What people define, told to the engine: limits, and what the runs of each deployment are granted.

use std::collections::HashMap;
use std::sync::Arc;

use retake_core::deployment::Deployment;
use retake_core::grant::Grants;
use retake_core::value::Json;
use retake_engine::Engine;
use retake_store::{Definition, Limited, Store, StoreError, kind};

use crate::types::Limit;
use crate::vault::{Vault, VaultError};

/// Tells the engine what is defined: which secrets and variables the runs of each deployment are granted, and how much of
/// what is worked on at once.
pub async fn tell_engine(store: &dyn Store, engine: &Engine, vault: &Vault) -> Result<(), StoreError> {
    // One at a time, or what was read first could be told last.
    let _telling = vault.telling.lock().await;
    let mut deployments = Vec::new();
    for it in store.definitions(kind::DEPLOYMENT).await? {
        deployments.extend(serde_json::from_str::<Deployment>(it.body.as_str()).ok());
    }
    let limits = deployments.iter().filter_map(|it| Some((Limited::Deployment(it.full_name()), it.concurrency?)));
    let queues = limits_of(store, kind::QUEUE).await?.into_iter().map(|(name, most)| (Limited::Queue(name), most));
    engine.limit(limits.chain(queues).collect());
    engine.limit_tags(limits_of(store, kind::TASK_TAG).await?.into_iter().collect());
    let variables: HashMap<String, Json> =
        store.definitions(kind::VARIABLE).await?.into_iter().map(|it| (it.name, it.body)).collect();
    let secrets = opened(store, vault).await?;
    let granted = deployments.into_iter().filter_map(|it| {
        let name = it.full_name();
        let secrets = it.secrets.into_iter().filter_map(|it| Some((it.clone(), secrets.get(&it)?.clone())));
        let variables = it.variables.into_iter().filter_map(|it| Some((it.clone(), variables.get(&it)?.clone())));
        let grants = Grants { secrets: secrets.collect(), variables: variables.collect() };
        (!grants.secrets.is_empty() || !grants.variables.is_empty()).then(|| (name, Arc::new(grants)))
    });
    engine.grant(granted.collect());
    Ok(())
}

/// Opens all secrets. One that cannot be opened is left out: runs that ask for it are denied it.
async fn opened(store: &dyn Store, vault: &Vault) -> Result<HashMap<String, Arc<str>>, StoreError> {
    let mut secrets = HashMap::new();
    for Definition { name, body, .. } in store.definitions(kind::SECRET).await? {
        let opened = serde_json::from_str(body.as_str()).map_err(|_| VaultError::Damaged);
        match opened.and_then(|sealed| vault.open(&name, &sealed)) {
            Ok(secret) => drop(secrets.insert(name, secret)),
            Err(error) => {
                let hint = error.hint();
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, name, hint, "a secret cannot be opened; runs that ask for it are denied it");
            }
        }
    }
    Ok(secrets)
}

/// Returns the limits of a kind, by name.
pub(crate) async fn limits_of(store: &dyn Store, kind: &'static str) -> Result<Vec<(String, u32)>, StoreError> {
    let all = store.definitions(kind).await?.into_iter();
    Ok(all
        .filter_map(|it| Some((it.name, serde_json::from_str::<Limit>(it.body.as_str()).ok()?.concurrency)))
        .collect())
}
