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

/// The limits, and how many runs without a parent are worked on, whether there is a limit or not: one that is set counts
/// those that run already.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    limits: RwLock<Arc<Limits>>,
    /// By queue.
    queues: Mutex<HashMap<String, u32>>,
    /// By deployment: what slots are shared out by, too.
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

    fn queues(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is left of each limit. Children are not limited: their parents would wait for them for ever.
    pub(crate) fn left(&self, depth: u32) -> Vec<Room> {
        let limits = self.limits();
        if depth > 0 || limits.0.is_empty() {
            return Vec::new();
        }
        let (queues, deployments) = (self.queues(), self.busy());
        let taken = |of: &Limited| match of {
            Limited::Queue(name) => queues.get(name),
            Limited::Deployment(name) => deployments.get(&Some(name.clone())),
        };
        let left = |of: &Limited, most: u32| most.saturating_sub(taken(of).copied().unwrap_or(0));
        limits.0.iter().map(|(of, most)| Room { of: of.clone(), left: left(of, *most) }).collect()
    }

    /// Returns a limit of which nothing is left for a run, and how much it lets through.
    pub(crate) fn full(&self, run: &NewRun) -> Option<(Limited, u32)> {
        let full = self.left(run.depth).into_iter().find(|it| it.left == 0 && it.of.is_of(run))?;
        let most = self.limits().0.get(&full.of).copied()?;
        Some((full.of, most))
    }

    /// Whether there is room for a run that is to be begun at once.
    pub(crate) fn has(&self, run: &NewRun) -> bool {
        self.left(run.depth).iter().filter(|it| it.of.is_of(run)).all(|it| it.left > 0)
    }

    /// Whether a limit counts for a run.
    pub(crate) fn limits_it(&self, run: &NewRun) -> bool {
        run.depth == 0 && self.limits().0.keys().any(|it| it.is_of(run))
    }
}

/// The place of a run that is worked on. It is given back, also by a panic.
pub(crate) struct Place {
    engine: Arc<Inner>,
    /// Whose runs it counts among, and of which queue; `None` for a child, which is not counted.
    of: Option<(Option<String>, String)>,
}

impl Place {
    pub(crate) fn take(engine: &Arc<Inner>, run: &NewRun) -> Self {
        let of = (run.depth == 0).then(|| (run.deployment.clone(), run.queue.clone()));
        if let Some((deployment, queue)) = &of {
            up(Arc::make_mut(&mut engine.rooms.counted()), deployment);
            up(&mut engine.rooms.queues(), queue);
        }
        Self { engine: engine.clone(), of }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((deployment, queue)) = self.of.take() else { return };
        let rooms = &self.engine.rooms;
        down(Arc::make_mut(&mut rooms.counted()), &deployment);
        down(&mut rooms.queues(), &queue);
        let limits = rooms.limits();
        let counts = |of: &Limited| match of {
            Limited::Deployment(name) => deployment.as_ref() == Some(name),
            Limited::Queue(name) => queue == *name,
        };
        if limits.0.keys().any(counts) {
            // Somebody may wait for it.
            self.engine.wake(0);
        }
    }
}
