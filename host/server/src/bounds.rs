//! How much may be asked for: requests of a token, guesses at tokens, runs that wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use retake_core::time::Timestamp;

use crate::Host;
use crate::access::Actor;
use crate::error::ApiError;

/// How long it counts what was found out about runs that wait.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
/// Requests without a valid token that are answered in a minute, of one address, after the first [`GUESSES_AT_ONCE`].
const GUESSES: NonZeroU32 = NonZeroU32::new(10).expect("is not zero");
const GUESSES_AT_ONCE: NonZeroU32 = NonZeroU32::new(200).expect("is not zero");
/// How long no other refusal with the same status is told of.
const REFUSALS: std::time::Duration = std::time::Duration::from_secs(10);
/// When as many tokens or addresses are remembered, those that asked for nothing lately are forgotten.
const REMEMBERED: usize = 10_000;

/// How much may be asked for.
#[derive(Debug)]
pub struct Bounds {
    requests: DefaultKeyedRateLimiter<String>,
    guesses: DefaultKeyedRateLimiter<IpAddr>,
    most_waiting: u64,
    /// When a refusal of somebody with each status was told of last, and how many there were since then.
    refusals: Mutex<HashMap<(String, u16), (Timestamp, u64)>>,
    /// When somebody looked whether too many runs wait, and whether they did.
    looked: Mutex<Option<(Timestamp, bool)>>,
}

impl Bounds {
    /// Bounds the requests of a token in a second, and the runs that may wait before no more are made.
    ///
    /// # Panics
    ///
    /// If no request were let through.
    pub fn new(requests: u32, most_waiting: u64) -> Self {
        let requests = NonZeroU32::new(requests).expect("lets one through at least");
        Self {
            requests: RateLimiter::keyed(Quota::per_second(requests)),
            guesses: RateLimiter::keyed(Quota::per_minute(GUESSES).allow_burst(GUESSES_AT_ONCE)),
            most_waiting,
            refusals: Mutex::default(),
            looked: Mutex::default(),
        }
    }

    /// Counts a request of a token; refused when there were too many.
    pub(crate) fn request(&self, token: &str) -> Result<(), ApiError> {
        if self.requests.len() > REMEMBERED {
            self.requests.retain_recent();
        }
        self.requests.check_key(&token.to_owned()).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            too_many("the token asks for too much at once", "ask less often; `retake server --requests` says how often")
                .after(wait)
        })
    }

    /// Counts a request without a valid token; refused when there were too many from that address.
    pub(crate) fn guess(&self, address: IpAddr) -> Result<(), ApiError> {
        if self.guesses.len() > REMEMBERED {
            self.guesses.retain_recent();
        }
        self.guesses.check_key(&address).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            too_many("too many requests without a valid token", "send `Authorization: Bearer TOKEN`").after(wait)
        })
    }
}

impl Host {
    /// Counts a refusal as a guess, where it is one, and tells of it. Returns what is answered.
    pub(crate) async fn refuse(&self, actor: &Actor, what: String, error: ApiError, peer: Option<IpAddr>) -> ApiError {
        let guessed = peer.filter(|_| error.status() == StatusCode::UNAUTHORIZED);
        let error = guessed.map_or(Ok(()), |it| self.bounds.guess(it)).err().unwrap_or(error);
        self.refused(actor, what, error.status(), peer).await;
        error
    }

    /// Tells the log and the audit log that somebody was refused something: of each token and status one in so much time,
    /// with how many there were besides, so that whoever is refused often fills neither.
    async fn refused(&self, actor: &Actor, what: String, status: u16, peer: Option<IpAddr>) {
        let now = self.now();
        let others = {
            let mut refusals = self.bounds.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            if refusals.len() > REMEMBERED {
                refusals.retain(|_, (told, _)| now.since(*told) < REFUSALS);
            }
            let of = (actor.name.clone(), status);
            match refusals.get_mut(&of).filter(|(told, _)| now.since(*told) < REFUSALS && *told <= now) {
                Some((_, others)) => {
                    *others += 1;
                    return;
                }
                None => refusals.insert(of, (now, 0)).map_or(0, |(_, others)| others),
            }
        };
        let peer = peer.map(|it| it.to_string());
        tracing::warn!(actor = actor.name, what, status, peer, others, "refused");
        let details = serde_json::json!({ "status": status, "peer": peer, "others": others });
        self.audit(actor, "refused", what, details).await;
    }
}

pub(crate) fn too_many(message: &str, hint: &str) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too-many", message, hint)
}

impl Host {
    /// Refuses what would make another run while too many wait. What was found out counts for a second.
    pub(crate) async fn room_for_a_run(&self) -> Result<(), ApiError> {
        let (bounds, now) = (&self.bounds, self.now());
        let looked = *bounds.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let full = match looked.filter(|(at, _)| now.since(*at) < LOOK && *at <= now) {
            Some((_, full)) => full,
            None => {
                let full = self.store.overdue(now, bounds.most_waiting).await? >= bounds.most_waiting;
                *bounds.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, full));
                full
            }
        };
        match full {
            false => Ok(()),
            true => {
                let message = format!("{} runs are due and wait: no more are made", bounds.most_waiting);
                Err(too_many(&message, "ask again later; `retake ps --state late` lists what waits").after(2 * LOOK))
            }
        }
    }
}
