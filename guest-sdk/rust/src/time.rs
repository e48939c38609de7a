//! Waits that outlive the host process, and chance that can be replayed.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::host;

/// Waits for `duration`, even when the host is restarted meanwhile.
///
/// In a flow a long wait holds no sandbox: the run is suspended and comes back when it is over. In
/// a task it is an ordinary wait. At most 365 days.
///
/// ```no_run
/// use std::time::Duration;
///
/// retake::sleep(Duration::from_secs(3 * 86_400));
/// ```
pub fn sleep(duration: Duration) {
    host::sleep(whole_milliseconds(duration));
}

/// Waits until `time`; a time that has passed is no wait.
///
/// ```no_run
/// use std::time::Duration;
///
/// let noon = retake::context().scheduled_for + Duration::from_secs(12 * 3600);
/// retake::sleep_until(noon);
/// ```
pub fn sleep_until(time: SystemTime) {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    host::sleep_until(whole_milliseconds(since_epoch));
}

/// Returns a number that nobody can foresee, yet a resumed attempt sees again.
///
/// In a flow the host derives it from the run and the attempt: when the attempt is resumed after a
/// restart the numbers are the same, a new attempt gets new ones. It is not for secrets.
///
/// ```
/// let heads = retake::random() % 2 == 0;
/// ```
pub fn random() -> u64 {
    // The standard library's hash seed is the cheapest source: one import, and no crate.
    RandomState::new().hash_one(0_u8)
}

/// Returns the duration in milliseconds, rounded up so that no wait is shorter than was asked for.
pub(crate) fn whole_milliseconds(duration: Duration) -> u64 {
    let whole = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(whole).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_millisecond_is_rounded_up() {
        assert_eq!(whole_milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(whole_milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(whole_milliseconds(Duration::MAX), u64::MAX);
    }
}
