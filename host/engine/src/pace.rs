//! How many runs begin, or go on, in a second.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use retake_core::time::Timestamp;

/// Lets so many runs pass in a second, evenly; as many as in one second may pass at once after a rest.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: Option<u32>,
    /// When the next would pass if they had come evenly.
    next: Mutex<Timestamp>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(per_second: Option<u32>) -> Self {
        Self { per_second: per_second.filter(|it| *it > 0), next: Mutex::default() }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.per_second.is_some()
    }

    fn next(&self) -> MutexGuard<'_, Timestamp> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how far ahead of an even rate those are that passed: a second and one at most. More is what a clock left
    /// that was set back since then.
    fn ahead(&self, now: Timestamp, per_second: u32) -> Duration {
        let mut next = self.next();
        let most = SECOND + SECOND / per_second;
        if next.since(now) > most {
            *next = now + most;
        }
        next.since(now)
    }

    /// Returns how many may pass now.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        let Some(per_second) = self.per_second else { return usize::MAX };
        let ahead = self.ahead(now, per_second);
        let left = SECOND.saturating_sub(ahead);
        // Rounded down by less than a nanosecond's part, which must not make it one less.
        ((left.as_nanos() * u128::from(per_second) + u128::from(per_second)) / SECOND.as_nanos()) as usize
    }

    /// Counts some that pass.
    pub(crate) fn passed(&self, now: Timestamp, count: usize) {
        let Some(per_second) = self.per_second else { return };
        let mut next = self.next();
        *next = (*next).max(now) + SECOND.mul_f64(count as f64 / f64::from(per_second));
    }

    /// Returns when there is room again, if there is none now.
    pub(crate) fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let per_second = self.per_second?;
        let one = SECOND / per_second;
        let ahead = self.ahead(now, per_second);
        (self.room(now) == 0).then(|| now + (ahead + one).saturating_sub(SECOND).max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + ms * 1000)
    }

    #[test]
    fn so_many_in_a_second() {
        let pace = Pace::new(Some(10));
        assert_eq!(pace.room(at(0)), 10);
        pace.passed(at(0), 10);
        assert_eq!((pace.room(at(0)), pace.room(at(99)), pace.room(at(100))), (0, 0, 1));
        assert_eq!(pace.opens(at(0)), Some(at(100)));
        pace.passed(at(100), 1);
        assert_eq!((pace.room(at(100)), pace.room(at(500)), pace.room(at(60_000))), (0, 4, 10));
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let pace = Pace::new(Some(2));
        pace.passed(at(60_000), 2);
        assert_eq!(pace.room(at(0)), 0);
        let opens = pace.opens(at(0)).unwrap();
        assert!(opens <= at(1500), "{opens}");
        assert_eq!(pace.room(at(1500)), 2);
    }

    #[test]
    fn one_that_was_not_said_lets_all_pass() {
        let pace = Pace::new(None);
        pace.passed(at(0), 1_000_000);
        assert_eq!((pace.room(at(0)), pace.opens(at(0))), (usize::MAX, None));
    }

    #[test]
    fn over_long_times_the_rate_is_kept() {
        let pace = Pace::new(Some(7));
        let mut passed = 0;
        for ms in 0..60_000 {
            let room = pace.room(at(ms));
            pace.passed(at(ms), room);
            passed += room;
        }
        assert!((420..=428).contains(&passed), "{passed}");
    }
}
