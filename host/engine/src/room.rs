//! How much of a deployment and of a queue is worked on at once, by limits and by what slots are shared out by.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use retake_store::{Busy, Limited, NewRun, Room};

use crate::Inner;

/// Most runs without a parent that are worked on at once, of some deployments and queues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits(HashMap<Limited, u32>);

impl FromIterator<(Limited, u32)> for Limits {
    fn from_iter<T: IntoIterator<Item = (Limited, u32)>>(all: T) -> Self {
        Self(all.into_iter().collect())
    }
}

/// The limits, and how much of each is taken. Runs that were begun before a limit was set do not count for it.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    limits: RwLock<Arc<Limits>>,
    taken: Mutex<HashMap<Limited, u32>>,
    /// Runs without a parent, by deployment: what slots are shared out by.
    busy: Mutex<Arc<Busy>>,
}

fn up<K: Hash + Eq + Clone>(counts: &mut HashMap<K, u32>, of: &K) {
    match counts.get_mut(of) {
        Some(count) => *count += 1,
        None => drop(counts.insert(of.clone(), 1)),
    }
}

/// What is not counted any more is not remembered.
fn down<K: Hash + Eq>(counts: &mut HashMap<K, u32>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}

impl Rooms {
    pub(crate) fn set(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    fn limits(&self) -> Arc<Limits> {
        self.limits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many runs of each deployment are worked on.
    pub(crate) fn busy(&self) -> Arc<Busy> {
        self.counted().clone()
    }

    fn counted(&self) -> MutexGuard<'_, Arc<Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Limited, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is left of each limit. Children are not limited: their parents would wait for them for ever.
    pub(crate) fn left(&self, depth: u32) -> Vec<Room> {
        let limits = self.limits();
        if depth > 0 || limits.0.is_empty() {
            return Vec::new();
        }
        let taken = self.taken();
        let left = |of: &Limited, most: u32| most.saturating_sub(taken.get(of).copied().unwrap_or(0));
        limits.0.iter().map(|(of, most)| Room { of: of.clone(), left: left(of, *most) }).collect()
    }

    /// Whether there is room for a run that is to be begun at once.
    pub(crate) fn has(&self, run: &NewRun) -> bool {
        self.left(run.depth).iter().filter(|it| it.of.is_of(run)).all(|it| it.left > 0)
    }

    /// Whether a limit counts for a run.
    pub(crate) fn limits_it(&self, run: &NewRun) -> bool {
        run.depth == 0 && self.limits().0.keys().any(|it| it.is_of(run))
    }

    fn of(&self, run: &NewRun) -> Vec<Limited> {
        let limits = self.limits();
        if run.depth > 0 || limits.0.is_empty() {
            return Vec::new();
        }
        limits.0.keys().filter(|it| it.is_of(run)).cloned().collect()
    }
}

/// The place of a run that is worked on. It is given back, also by a panic.
pub(crate) struct Place {
    engine: Arc<Inner>,
    of: Vec<Limited>,
    /// Whose runs it counts among; `None` for a child, which is not counted.
    deployment: Option<Option<String>>,
}

impl Place {
    pub(crate) fn take(engine: &Arc<Inner>, run: &NewRun) -> Self {
        let of = engine.rooms.of(run);
        if !of.is_empty() {
            let mut taken = engine.rooms.taken();
            of.iter().for_each(|it| up(&mut taken, it));
        }
        let deployment = (run.depth == 0).then(|| run.deployment.clone());
        if let Some(deployment) = &deployment {
            up(Arc::make_mut(&mut engine.rooms.counted()), deployment);
        }
        Self { engine: engine.clone(), of, deployment }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(deployment) = &self.deployment {
            down(Arc::make_mut(&mut self.engine.rooms.counted()), deployment);
        }
        if self.of.is_empty() {
            return;
        }
        let mut taken = self.engine.rooms.taken();
        self.of.iter().for_each(|it| down(&mut taken, it));
        drop(taken);
        // Somebody may wait for it.
        self.engine.wake(0);
    }
}
