//! What is said when something was not done.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use retake_core::deployment;
use retake_core::port::UploadRefused;
use retake_core::retry::BadField;
use retake_core::run::Refused;
use retake_engine::AskError;
use retake_store::StoreError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Error)]
pub struct ApiError {
    /// A word to script against, such as `not-found`.
    #[schema(value_type = String)]
    pub code: Box<str>,
    /// What is wrong, a sentence.
    pub message: String,
    /// Where it is wrong, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to try.
    pub hint: String,
    /// What the server's log calls the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request_id: Option<Box<str>>,
    /// Seconds after which to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    #[serde(skip)]
    pub(crate) status: u16,
}

/// How an error is written.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ErrorAnswer)]
pub struct ErrorView {
    /// The error.
    pub error: ApiError,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            causes: Vec::new(),
            hint: hint.into(),
            request_id: None,
            retry_after: None,
            status: status.as_u16(),
        }
    }

    /// What was sent is wrong.
    pub(crate) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message, hint)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message, hint)
    }

    /// It does not fit what is there.
    pub(crate) fn conflict(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message, hint)
    }

    /// Has another hint.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Says after how long to try again.
    pub(crate) fn after(mut self, wait: std::time::Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after = Some(u32::try_from(whole.max(1)).unwrap_or(u32::MAX));
        self
    }

    pub(crate) fn caused_by(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.causes.extend(causes);
        self
    }

    /// The HTTP status that it came or goes with.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The same, as it came with a status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let error = self.clone();
        let mut response = (status, Json(ErrorView { error: self })).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For whoever puts in the request's id.
        response.extensions_mut().insert(error);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NoRun(_) => Self::not_found(message, "`GET /api/v1/flow-runs` or `retake ps` lists the runs"),
            StoreError::NoComponent(_) => {
                Self::not_found(message, "upload it first: `POST /api/v1/components` or `retake deploy FILE.wasm`")
            }
            StoreError::Refused(refused) => {
                let hint = hint_of(&refused);
                match refused {
                    Refused::NoCall => Self::not_found(message, hint),
                    _ => Self::conflict(message, hint),
                }
            }
            StoreError::Changed { .. } => Self::conflict(message, "look at it again, and then change it"),
            StoreError::InUse(_) => Self::conflict(message, "remove what refers to it first, or leave it"),
            StoreError::Damaged(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "damaged",
                message,
                "`retake db check` says what else is; a component heals when its file is uploaded again",
            ),
            StoreError::ReadOnly | StoreError::Unavailable(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store did not answer");
                Self {
                    retry_after: Some(1),
                    ..Self::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "unavailable",
                        "the store did not answer; what was asked for may have happened",
                        "ask again: under the same `Idempotency-Key` nothing is done twice",
                    )
                }
            }
        }
    }
}

/// What a person does about what the rules refused.
pub fn hint_of(refused: &Refused) -> &'static str {
    match refused {
        Refused::HasCompleted => "`--rerun TASK`, `--from TASK` or `--all` forget results and run them again",
        Refused::NotEnded => {
            "`retake watch RUN` goes on with it, `retake resume RUN` where it is Paused; `retake cancel RUN` ends it"
        }
        Refused::Active => "whoever works on it has to stop first: Ctrl-C there, or wait until it has ended",
        Refused::HasEnded => "it has ended: `retake retry RUN` begins it again, with `--all` also where it completed",
        Refused::NotPaused => "`retake explain RUN` says what it waits for",
        Refused::NotWaiting => "`retake explain RUN` says what it waits for, if it does",
        Refused::HasResult => "`retake retry RUN --rerun TASK` has it made again",
        Refused::OtherAttempt { .. } => "somebody else may have retried it: `retake show RUN`",
        _ => "`retake show RUN` tells where it stands",
    }
}

impl From<BadField> for ApiError {
    fn from(bad: BadField) -> Self {
        let hint = format!("change `{}`", bad.field);
        Self::invalid(bad.to_string(), hint)
    }
}

impl From<UploadRefused> for ApiError {
    fn from(refused: UploadRefused) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", refused.message, refused.hint).caused_by(refused.details)
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        let message = error.to_string();
        let listed = |what: &str, known: &[String]| match known {
            [] => format!("it has {what} nothing yet"),
            known => {
                format!("it has {what} {}", known.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "))
            }
        };
        match error {
            AskError::NoFlow { flows, .. } => Self::not_found(message, listed("the flows", &flows)),
            AskError::NoCall { known, .. } => Self::not_found(message, listed("called", &known)),
            AskError::Parameters(misfits) | AskError::Result(_, misfits) => {
                let causes = misfits.into_iter().map(|it| {
                    let at = if it.pointer.is_empty() { "the value".to_owned() } else { format!("`{}`", it.pointer) };
                    format!("{at}: {}", it.problem)
                });
                let hint = "`retake inspect FLOW` shows the schemas of its component";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "misfit", message, hint).caused_by(causes)
            }
            AskError::OtherRequest(..) => Self::conflict(message, "ask for the same, or use another key"),
            AskError::Field(bad) => bad.into(),
            AskError::Store(error) => error.into(),
        }
    }
}

/// Checks a name that a person gives to something.
pub(crate) fn checked_name(field: &str, name: &str) -> Result<(), ApiError> {
    Ok(deployment::check_name(field, name)?)
}
