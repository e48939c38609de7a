//! Which code is meant by `latest`, and which may run with what a deployment grants.

use axum::http::StatusCode;
use retake_core::deployment::Deployment;
use retake_core::id::ContentDigest;
use retake_store::{RunRecord, Store, StoreError, kind};

use crate::access::{Actor, Role};
use crate::error::ApiError;

/// Returns the deployment that the run at the top of a run's tree was made by, if there is one and it is still there.
async fn deployment_of(
    store: &dyn Store,
    record: &RunRecord,
) -> Result<(Option<String>, Option<Deployment>), StoreError> {
    let name = match record.asked.depth {
        0 => record.asked.deployment.clone(),
        _ => store.run(record.asked.root).await?.asked.deployment,
    };
    let found = match &name {
        Some(name) => store.definition(kind::DEPLOYMENT, name).await?,
        None => None,
    };
    Ok((name, found.and_then(|it| serde_json::from_str(it.body.as_str()).ok())))
}

/// Returns the code that `latest` means for a run: what its deployment has, or else the newest upload of the same name.
pub async fn latest(store: &dyn Store, record: &RunRecord) -> Result<Option<ContentDigest>, StoreError> {
    if let (_, Some(deployment)) = deployment_of(store, record).await? {
        return Ok(Some(deployment.component));
    }
    let Some(own) = store.component(record.asked.component).await? else { return Ok(None) };
    let all = store.components().await?;
    Ok(all.into_iter().find(|it| it.info.name == own.info.name).map(|it| it.digest))
}

/// Refuses other code for a run of a deployment to whoever may not deploy: it would run with what the deployment is
/// granted. What was deployed there, anybody may retry with who may retry (A18).
pub(crate) async fn may_run(
    store: &dyn Store,
    actor: &Actor,
    record: &RunRecord,
    code: ContentDigest,
) -> Result<(), ApiError> {
    if actor.role >= Role::Deployer || code == record.asked.component {
        return Ok(());
    }
    match deployment_of(store, record).await? {
        (None, _) => Ok(()),
        (Some(_), Some(deployment)) if deployment.component == code => Ok(()),
        (Some(name), _) => {
            let message = format!(
                "the token `{}` has the role {}, and other code for a run of deployment `{name}` needs deployer",
                actor.name,
                actor.role.as_str()
            );
            let hint = "`latest` is what is deployed; a deployer may deploy other code, or retry with it";
            Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message, hint))
        }
    }
}
