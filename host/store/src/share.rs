//! How slots are shared out between deployments when more is due than there are slots (T43, G-S16).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use retake_core::time::Timestamp;

/// How many of a deployment's runs are worked on, for each that has some; `None` stands for runs without one.
pub type Busy = std::collections::HashMap<Option<String>, u32>;

/// Runs of one deployment that are due.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    /// Which.
    pub(crate) deployment: Option<String>,
    /// The longest due of them.
    pub(crate) since: Timestamp,
    /// How many of them may be claimed.
    pub(crate) waiting: usize,
}

/// Returns how many of each deployment's runs are to be claimed: each slot goes to the one of which the fewest are
/// worked on then; among equals, to the one that waits longest.
pub(crate) fn shares(all: &[Due], busy: &Busy, slots: usize) -> Vec<usize> {
    let mut shares = vec![0; all.len()];
    let mut next: BinaryHeap<Reverse<(u32, Timestamp, usize)>> = all
        .iter()
        .enumerate()
        .map(|(place, it)| Reverse((busy.get(&it.deployment).copied().unwrap_or(0), it.since, place)))
        .collect();
    for _ in 0..slots {
        // One that has nothing left to claim is not put back.
        while next.peek().is_some_and(|Reverse((_, _, place))| shares[*place] == all[*place].waiting) {
            next.pop();
        }
        let Some(Reverse((count, since, place))) = next.pop() else { break };
        shares[place] += 1;
        next.push(Reverse((count.saturating_add(1), since, place)));
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(name: &str, since: u64, waiting: usize) -> Due {
        Due { deployment: Some(name.to_owned()), since: Timestamp::from_unix_ms(since), waiting }
    }

    #[test]
    fn whoever_has_least_comes_next() {
        let busy = Busy::from([(Some("a".to_owned()), 5), (Some("c".to_owned()), 1)]);
        let all = [due("a", 1, 100), due("b", 2, 100), due("c", 3, 100)];
        assert_eq!(shares(&all, &busy, 4), [0, 3, 1], "b catches up first, and comes first among equals");
        assert_eq!(shares(&all, &busy, 12), [1, 6, 5]);
        assert_eq!(shares(&all, &busy, 0), [0, 0, 0]);
    }

    #[test]
    fn no_slot_is_left_while_anything_waits() {
        let all = [due("a", 1, 2), due("b", 2, 1), due("c", 3, 0)];
        assert_eq!(shares(&all, &Busy::new(), 10), [2, 1, 0]);
        let busy = Busy::from([(Some("a".to_owned()), 1000)]);
        assert_eq!(shares(&[due("a", 1, 50)], &busy, 20), [20], "alone it takes everything");
    }
}
