//! Health, the version, and the document that describes the rest.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, OpenApi, RefOr, Response as Described};
use utoipa::{Modify, PartialSchema, ToSchema};

use super::Listed;
use crate::error::{ApiError, ErrorView};
use crate::{Host, Settings};

/// What pages may do: load what is ours and ask us. Swagger UI writes styles into itself.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What is common to all routes.
pub(super) struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        document.info.version = env!("CARGO_PKG_VERSION").into();
        let components = document.components.get_or_insert_with(Components::new);
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", bearer);
        components.schemas.insert("Error".into(), ApiError::schema());
        components.schemas.insert("ErrorAnswer".into(), ErrorView::schema());
        document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    }
}

/// Adds to each operation an id that no other has, and that it may answer with an error.
pub(super) fn finished(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let words = path.trim_start_matches("/api/v1/").replace(['{', '}'], "").replace(['/', '-'], "_");
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(format!("{method}_{words}"));
            let mut error = Described::new("What was wrong");
            let schema = RefOr::Ref(utoipa::openapi::Ref::from_schema_name("ErrorAnswer"));
            let content = utoipa::openapi::ContentBuilder::new().schema(Some(schema)).build();
            error.content.insert("application/json".into(), RefOr::T(content));
            operation.responses.responses.insert("default".into(), RefOr::T(error));
        }
    }
    document
}

/// Routes that are not part of the API's contract.
pub(super) fn routes(document: OpenApi) -> Router<Host> {
    let text = document.to_pretty_json().unwrap_or_default();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(|| async { page("index.html") }))
        .route("/docs/{file}", get(|Path(file): Path<String>| async move { page(&file) }))
        .route("/metrics", get(metrics))
        .route(
            "/api/v1/openapi.json",
            get(|| async move { ([(header::CONTENT_TYPE, "application/json")], text.clone()) }),
        )
}

/// One of the pages that show the document: Swagger UI, carried by the binary.
fn page(name: &str) -> Response {
    let config = Arc::new(utoipa_swagger_ui::Config::from("/api/v1/openapi.json"));
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            let headers =
                [(header::CONTENT_TYPE, file.content_type), (header::CONTENT_SECURITY_POLICY, PAGE.to_owned())];
            (headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => ApiError::not_found("there is no such page", "`/docs/` is where they begin").into_response(),
        Err(error) => {
            tracing::error!(%error, name, "a page could not be served");
            let hint = "the server's log says more";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the page could not be read", hint)
                .into_response()
        }
    }
}

async fn ready(State(host): State<Host>) -> Response {
    match host.store.has_failed() {
        false => "ready\n".into_response(),
        true => {
            let error = "the database failed, and nothing is written any more";
            let hint = "start the server again: what was kept is there";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error, hint).into_response()
        }
    }
}

async fn metrics(State(host): State<Host>) -> Result<Response, ApiError> {
    let text = crate::metrics::text(&host).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// What answers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Of the server.
    pub version: String,
    /// The contracts that components may be made for.
    pub contract: Vec<String>,
}

/// Which version answers
#[utoipa::path(get, path = "/api/v1/version", tag = "server", responses((status = 200, body = Version)))]
pub(super) async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").into(), contract: vec!["retake:flow@0.1.0".into()] })
}

/// A setting of the server, as it is in force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// As it stands in the configuration file: `data`, `command.server.listen`.
    pub name: String,
    /// Absent when nothing is said; `(set)` for what is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Who said so: `flag`, `environment NAME`, a file, or `default`.
    pub from: String,
    /// What it is otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What it is for.
    pub what: String,
}

/// The settings of the server that are in force
#[utoipa::path(get, path = "/api/v1/settings", tag = "server", responses((status = 200, body = Listed<Setting>)))]
pub(super) async fn settings(Extension(settings): Extension<Arc<Settings>>) -> Json<Listed<Setting>> {
    Json(Listed::all(settings.in_force.clone()))
}

pub(super) async fn nothing_there() -> ApiError {
    ApiError::not_found("there is nothing at this address", "`GET /api/v1/openapi.json` lists the addresses")
}

pub(super) fn not_so() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid",
        "this address is not asked by this method",
        "`GET /api/v1/openapi.json` lists the methods of each address",
    )
}
