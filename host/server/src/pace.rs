//! How fast a body has to come, so that nobody keeps a place by sending slowly (A05).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// How long a body may take before it has to have come at the least rate.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes in a second, at least, on the whole.
const LEAST: u64 = 1 << 10;
/// How long a body may take in all. An upload has to be faster than [`LEAST`] besides.
const LONGEST: Duration = Duration::from_secs(600);

/// A body that came too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly: {} KiB in a second are the least", LEAST >> 10)]
pub(crate) struct TooSlow;

/// The body of a request, which ends with an error when it comes too slowly.
pub(crate) struct Paced {
    body: Incoming,
    /// When somebody began to read it: what waits for its turn is not slow.
    began: Option<Instant>,
    came: u64,
    /// When it has been too slow, unless more comes before.
    until: Pin<Box<Sleep>>,
}

impl Paced {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, began: None, came: 0, until: Box::pin(tokio::time::sleep(GRACE)) }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        let began = *this.began.get_or_insert_with(|| {
            let now = Instant::now();
            this.until.as_mut().reset(now + GRACE);
            now
        });
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return this.until.as_mut().poll(cx).map(|()| Some(Err(TooSlow.into()))),
        };
        if let Some(data) = frame.as_ref().and_then(|it| it.as_ref().ok()?.data_ref()) {
            this.came += data.len() as u64;
            let allowed = (GRACE + Duration::from_millis(this.came * 1000 / LEAST)).min(LONGEST);
            if began.elapsed() > allowed {
                return Poll::Ready(Some(Err(TooSlow.into())));
            }
            this.until.as_mut().reset(began + allowed);
        }
        Poll::Ready(frame.map(|it| it.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether an error of reading a body comes from its being too slow.
pub(crate) fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |it| it.source()).any(|it| it.is::<TooSlow>())
}
