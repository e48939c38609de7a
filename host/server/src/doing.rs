//! What is being done for those who asked, whether they wait for it or not, and how much of it at once.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Bytes;
use axum::response::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Something of which only so much is done at once, and less of it for one token, so that nobody takes all of it (A15).
#[derive(Debug)]
pub(crate) struct Shares {
    all: Arc<Semaphore>,
    /// How much of it a token has at once.
    each: usize,
    of: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Part of what is done at once; it is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _of_token: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Shares {
    /// Tokens that are remembered before those that do nothing are forgotten.
    const REMEMBERED: usize = 1000;

    fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each, of: Mutex::default() }
    }

    fn of(&self, token: &str) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if of.len() > Self::REMEMBERED {
            of.retain(|_, it| Arc::strong_count(it) > 1);
        }
        of.entry(token.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.each))).clone()
    }

    /// Waits for a share. Whoever waits for their own does not take what is everybody's.
    pub(crate) async fn take(&self, token: &str) -> Option<Share> {
        let of_token = self.of(token).acquire_owned().await.ok()?;
        let of_all = self.all.clone().acquire_owned().await.ok()?;
        Some(Share { _of_token: of_token, _of_all: of_all })
    }

    /// Takes a share, if there is one.
    pub(crate) fn try_take(&self, token: &str) -> Option<Share> {
        let of_token = self.of(token).try_acquire_owned().ok()?;
        let of_all = self.all.clone().try_acquire_owned().ok()?;
        Some(Share { _of_token: of_token, _of_all: of_all })
    }
}

/// What is being done.
#[derive(Debug)]
pub struct Doing {
    tasks: Mutex<JoinSet<()>>,
    /// Streams: one costs little, and has no end.
    pub(crate) streams: Shares,
    /// Uploads that come: each is a file.
    pub(crate) uploads: Shares,
    /// Uploads that are inspected: each is held in memory (A04).
    pub(crate) inspections: Shares,
    /// Answers that may be large: a run with all its calls may have 100 MiB.
    pub(crate) large: Shares,
    /// What changes something, and is done to its end whether anybody waits for it or not.
    pub(crate) changes: Shares,
    /// Pages of lists.
    pub(crate) lists: Shares,
    /// Searches in what runs said: each may take one of the store's few readers for seconds.
    pub(crate) searches: Shares,
}

impl Default for Doing {
    fn default() -> Self {
        Self {
            tasks: Mutex::default(),
            streams: Shares::new(400, 40),
            uploads: Shares::new(24, 12),
            inspections: Shares::new(2, 1),
            large: Shares::new(6, 2),
            changes: Shares::new(256, 64),
            lists: Shares::new(16, 3),
            searches: Shares::new(2, 1),
        }
    }
}

impl Doing {
    /// Begins something that is done to its end.
    pub(crate) fn begin(&self, what: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(what);
    }

    /// Waits until what was begun is done.
    pub async fn done(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

impl Share {
    /// Has an answer keep the share until it is sent, or nobody waits for it any more.
    pub(crate) fn until_sent(self, answer: Response) -> Response {
        answer.map(|body| axum::body::Body::new(Held { body, rest: Bytes::new(), _share: self }))
    }
}

/// The body of an answer, and the share that it has.
///
/// It is handed out in parts, because the connection takes only so many bytes before they are sent: the share is given
/// back with the last part.
struct Held {
    body: axum::body::Body,
    /// What is left of what was handed out last.
    rest: Bytes,
    _share: Share,
}

impl Held {
    /// Bytes that are handed out at once.
    const PART: usize = 64 << 10;
}

impl Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let part = self.rest.len().min(Self::PART);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest + body.lower());
        if let Some(upper) = body.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_has_a_share_of_what_is_done_at_once() {
        let shares = Shares::new(4, 2);
        let mut taken: Vec<Share> = (0..2).filter_map(|_| shares.try_take("one")).collect();
        assert!(shares.try_take("one").is_none(), "it has its share");
        taken.extend(shares.try_take("two"));
        taken.extend(shares.try_take("three"));
        assert_eq!(taken.len(), 4);
        assert!(shares.try_take("four").is_none(), "and nobody has more than there is");
        // An answer keeps its share until it is gone.
        drop(taken.split_off(1));
        let answer = taken.remove(0).until_sent(Response::new("large".into()));
        let _other = shares.try_take("one").unwrap();
        assert!(shares.try_take("one").is_none());
        drop(answer);
        assert!(shares.try_take("one").is_some());
    }
}
