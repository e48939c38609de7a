//! How many attempts of tasks with a tag are made at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use retake_core::id::FlowRunId;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The tags of attempts that are being made, and those that have a limit: one that is set counts what is made already.
#[derive(Debug, Default)]
pub(crate) struct Tags(RwLock<HashMap<String, Arc<Tag>>>);

#[derive(Debug)]
struct Tag {
    free: Semaphore,
    count: Mutex<Count>,
}

#[derive(Debug)]
struct Count {
    most: u32,
    /// How many are made beyond the limit, since it was lowered: as many places are not given back.
    beyond: usize,
    /// Attempts that are made, by their run.
    holders: HashMap<FlowRunId, u32>,
}

/// What a tag lets through at once that has no limit.
const UNLIMITED: u32 = u32::MAX;
/// Most tags that are remembered without a limit and without anything that is made.
const IDLE: usize = 1000;

impl Tag {
    fn new(most: u32) -> Self {
        Self {
            free: Semaphore::new(most as usize),
            count: Mutex::new(Count { most, beyond: 0, holders: HashMap::new() }),
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, most: u32) {
        let mut count = self.count();
        if let Some(less) = count.most.checked_sub(most) {
            count.beyond += less as usize - self.free.forget_permits(less as usize);
        } else {
            let more = (most - count.most) as usize;
            let made_good = count.beyond.min(more);
            count.beyond -= made_good;
            self.free.add_permits(more - made_good);
        }
        count.most = most;
    }
}

/// A place under a tag. It is given back, also by a panic.
#[derive(Debug)]
pub(crate) struct Place {
    tag: Arc<Tag>,
    run: FlowRunId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.tag.count();
        if let Some(held) = count.holders.get_mut(&self.run) {
            *held -= 1;
            if *held == 0 {
                count.holders.remove(&self.run);
            }
        }
        match count.beyond.checked_sub(1) {
            Some(beyond) => count.beyond = beyond,
            None => self.tag.free.add_permits(1),
        }
    }
}

/// A tag whose limit is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTag {
    /// Its name.
    pub name: String,
    /// Its limit.
    pub most: u32,
    /// The runs whose attempts are made, some of them.
    pub holders: Vec<FlowRunId>,
}

impl Tags {
    /// Sets the limits, instead of those that were set before. What is being made goes on, and counts.
    pub(crate) fn set(&self, limits: HashMap<String, u32>) {
        let mut tags = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (name, tag) in tags.iter() {
            tag.set(limits.get(name).copied().unwrap_or(UNLIMITED));
        }
        forget_idle(&mut tags);
        for (name, most) in limits {
            tags.entry(name).or_insert_with(|| Arc::new(Tag::new(most)));
        }
    }

    /// Returns the first of these tags whose limit is reached.
    pub(crate) fn full(&self, names: &[String]) -> Option<FullTag> {
        const SOME: usize = 3;
        let tags = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_full = |name: &&String| tags.get(*name).is_some_and(|it| it.free.available_permits() == 0);
        let name = names.iter().find(is_full)?;
        let tag = tags.get(name)?;
        let count = tag.count();
        let mut holders: Vec<FlowRunId> = count.holders.keys().copied().collect();
        holders.sort_unstable();
        holders.truncate(SOME);
        Some(FullTag { name: name.clone(), most: count.most, holders })
    }

    fn known(&self, names: &[String]) -> Vec<(String, Arc<Tag>)> {
        {
            let tags = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let known: Option<Vec<_>> = names.iter().map(|it| Some((it.clone(), tags.get(it)?.clone()))).collect();
            if let Some(known) = known {
                return known;
            }
        }
        let mut tags = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if tags.len() > IDLE {
            forget_idle(&mut tags);
        }
        let mut tag = |name: &String| tags.entry(name.clone()).or_insert_with(|| Arc::new(Tag::new(UNLIMITED))).clone();
        names.iter().map(|it| (it.clone(), tag(it))).collect()
    }

    /// Waits for a place under each of these tags, one after the other in the order of their names: two tasks never wait
    /// for each other.
    pub(crate) async fn places(&self, names: &[String], run: FlowRunId) -> Vec<Place> {
        if names.is_empty() {
            return Vec::new();
        }
        let mut tags = self.known(names);
        tags.sort_by(|(a, _), (b, _)| a.cmp(b));
        tags.dedup_by(|(a, _), (b, _)| a == b);
        let mut places = Vec::with_capacity(tags.len());
        for (_, tag) in tags {
            tag.free.acquire().await.map(SemaphorePermit::forget).expect("the semaphores are never closed");
            *tag.count().holders.entry(run).or_default() += 1;
            places.push(Place { tag, run });
        }
        places
    }
}

/// Forgets tags without a limit of which nothing is made.
fn forget_idle(tags: &mut HashMap<String, Arc<Tag>>) {
    tags.retain(|_, tag| {
        let count = tag.count();
        count.most != UNLIMITED || !count.holders.is_empty() || Arc::strong_count(tag) > 1
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this module is nothing but tests")]
    use futures_util::FutureExt;

    use super::*;

    fn run() -> FlowRunId {
        FlowRunId::from_bytes([7; 16])
    }

    fn limits(all: &[(&str, u32)]) -> HashMap<String, u32> {
        all.iter().map(|(name, most)| ((*name).to_owned(), *most)).collect()
    }

    /// Takes places that are free now.
    fn take(tags: &Tags, names: &[&str]) -> Option<Vec<Place>> {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        tags.places(&names, run()).now_or_never()
    }

    #[test]
    fn as_many_at_once_as_the_limit_says() {
        let tags = Tags::default();
        assert!(take(&tags, &[]).unwrap().is_empty());
        tags.set(limits(&[("db", 2), ("gpu", 1)]));
        let one = take(&tags, &["db", "other", "db"]).unwrap();
        assert_eq!(one.len(), 2, "a tag that is named twice is one tag");
        let two = take(&tags, &["gpu", "db"]).unwrap();
        assert!(take(&tags, &["db"]).is_none());
        assert!(take(&tags, &["gpu"]).is_none());
        drop(one);
        assert!(take(&tags, &["gpu", "db"]).is_none(), "gpu is taken");
        drop(two);
        assert!(take(&tags, &["gpu", "db"]).is_some(), "what did not get both gave back the first");
    }

    #[test]
    fn limits_move_while_places_are_taken() {
        let tags = Tags::default();
        tags.set(limits(&[("db", 3)]));
        let mut taken: Vec<_> = (0..3).map(|_| take(&tags, &["db"]).unwrap()).collect();
        tags.set(limits(&[("db", 1)]));
        taken.pop();
        assert!(take(&tags, &["db"]).is_none(), "two of one");
        taken.pop();
        assert!(take(&tags, &["db"]).is_none(), "one of one");
        tags.set(limits(&[("db", 2)]));
        taken.push(take(&tags, &["db"]).unwrap());
        assert!(take(&tags, &["db"]).is_none(), "two of two");
        taken.clear();
        taken.extend((0..2).map(|_| take(&tags, &["db"]).unwrap()));
        assert!(take(&tags, &["db"]).is_none(), "two of two again");
        tags.set(limits(&[("db", 1)]));
        tags.set(limits(&[("db", 3)]));
        taken.push(take(&tags, &["db"]).unwrap());
        assert!(take(&tags, &["db"]).is_none(), "three of three");
    }

    #[test]
    fn a_limit_counts_what_is_made_already() {
        let tags = Tags::default();
        let mut made: Vec<_> = (0..3).map(|_| take(&tags, &["db"]).unwrap()).collect();
        tags.set(limits(&[("db", 2)]));
        let full = tags.full(&["other".to_owned(), "db".to_owned()]).unwrap();
        assert_eq!(full, FullTag { name: "db".into(), most: 2, holders: vec![run()] });
        assert!(take(&tags, &["db"]).is_none(), "three of two");
        made.pop();
        assert!(take(&tags, &["db"]).is_none(), "two of two");
        made.pop();
        assert!(take(&tags, &["db"]).is_some(), "one of two");
        tags.set(HashMap::new());
        assert_eq!(tags.full(&["db".to_owned()]), None);
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_the_limit_is_lifted() {
        let tags = Tags::default();
        tags.set(limits(&[("db", 1)]));
        let taken = take(&tags, &["db"]).unwrap();
        let names = ["db".to_owned()];
        let (places, ()) = tokio::join!(tags.places(&names, run()), async { tags.set(limits(&[])) });
        assert_eq!(places.len(), 1);
        drop(taken);
    }
}
