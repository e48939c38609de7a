//! What a request brings, checked, so that whatever is wrong with it is said in the same form.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use retake_core::value::Json;
use serde::de::DeserializeOwned;

use super::BODY_BYTES;
use crate::error::ApiError;
use crate::pace::{self, TooSlow};

/// A JSON body, of so many bytes at most.
pub(super) struct Body<T, const MOST: usize = BODY_BYTES>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned, const MOST: usize> FromRequest<S> for Body<T, MOST> {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, ApiError> {
        DefaultBodyLimit::max(MOST).apply(&mut request);
        let bytes = Bytes::from_request(request, state).await.map_err(|it| unread(&it, MOST))?;
        if bytes.is_empty() {
            return Err(ApiError::invalid(
                "there is no body",
                "send `{}` where nothing is asked for beyond the address",
            ));
        }
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let hint = "`GET /api/v1/openapi.json` says what may be sent";
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::invalid("the body is not UTF-8", hint))?;
    // Its depth is bounded before anything is made of it.
    let json = Json::parse(text, BODY_BYTES).map_err(|it| ApiError::invalid(format!("the body: {it}"), hint))?;
    serde_json::from_str(json.as_str()).map_err(|error| {
        // It names our types, which mean nothing outside.
        let error = error.to_string();
        let error = match error.split_once("expected struct ") {
            Some((before, after)) => {
                let rest = after.split_once(' ').map_or("", |(_, rest)| rest);
                format!("{before}expected a JSON object {rest}")
            }
            None => error,
        };
        ApiError::invalid(format!("the body: {error}"), hint)
    })
}

/// Why a body of so many bytes at most was not read.
fn unread(rejection: &BytesRejection, most: usize) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("the body is larger than {} KiB", most >> 10),
            "large data belongs where a flow fetches it from, not into its parameters",
        ),
        _ if pace::is_too_slow(rejection) => {
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "too-slow", TooSlow.to_string(), "send it again")
        }
        _ => ApiError::invalid("the body ended too early", "send it again"),
    }
}

/// What stands behind the question mark. A name that is not known is an error: a filter that was mistyped would find
/// too much.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: Result<axum::extract::Query<T>, QueryRejection> =
            axum::extract::Query::from_request_parts(parts, state).await;
        match found {
            Ok(axum::extract::Query(it)) => Ok(Self(it)),
            Err(error) => {
                let hint = "`GET /api/v1/openapi.json` lists what may be asked for";
                let said = error.body_text();
                let said = said.strip_prefix("Failed to deserialize query string: ").unwrap_or(&said).to_owned();
                Err(ApiError::invalid(format!("the query: {said}"), hint))
            }
        }
    }
}

/// What stands in the address.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: Result<axum::extract::Path<T>, PathRejection> =
            axum::extract::Path::from_request_parts(parts, state).await;
        found.map(|axum::extract::Path(it)| Self(it)).map_err(|error| {
            ApiError::invalid(format!("the address: {}", error.body_text()), "look at how it is written")
        })
    }
}
