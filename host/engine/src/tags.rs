//! How many attempts of tasks with a tag are made at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The tags that have a limit.
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
}

impl Tag {
    fn new(most: u32) -> Self {
        Self { free: Semaphore::new(most as usize), count: Mutex::new(Count { most, beyond: 0 }) }
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

/// A place under the limit of a tag. It is given back, also by a panic.
#[derive(Debug)]
pub(crate) struct Place(Arc<Tag>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.0.count();
        match count.beyond.checked_sub(1) {
            Some(beyond) => count.beyond = beyond,
            None => self.0.free.add_permits(1),
        }
    }
}

impl Tags {
    /// Sets the limits, instead of those that were set before. What is being made goes on; under a limit that is new it
    /// does not count.
    pub(crate) fn set(&self, limits: HashMap<String, u32>) {
        let mut tags = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tags.retain(|name, tag| {
            let stays = limits.contains_key(name);
            if !stays {
                // Whoever waits for it goes on.
                tag.free.close();
            }
            stays
        });
        for (name, most) in limits {
            match tags.get(&name) {
                Some(tag) => tag.set(most),
                None => drop(tags.insert(name, Arc::new(Tag::new(most)))),
            }
        }
    }

    /// Waits for a place under each of these tags that has a limit, one after the other in the order of their names: two
    /// tasks never wait for each other.
    pub(crate) async fn places(&self, names: &[String]) -> Vec<Place> {
        let mut limited: Vec<(&String, Arc<Tag>)> = {
            let tags = self.0.read().unwrap_or_else(PoisonError::into_inner);
            match tags.is_empty() {
                true => return Vec::new(),
                false => names.iter().filter_map(|it| Some((it, tags.get(it)?.clone()))).collect(),
            }
        };
        limited.sort_by_key(|(name, _)| *name);
        limited.dedup_by_key(|(name, _)| *name);
        let mut places = Vec::with_capacity(limited.len());
        for (_, tag) in limited {
            // An error says that its limit was lifted meanwhile.
            let has_place = tag.free.acquire().await.map(SemaphorePermit::forget).is_ok();
            if has_place {
                places.push(Place(tag));
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this module is nothing but tests")]
    use futures_util::FutureExt;

    use super::*;

    fn limits(all: &[(&str, u32)]) -> HashMap<String, u32> {
        all.iter().map(|(name, most)| ((*name).to_owned(), *most)).collect()
    }

    /// Takes places that are free now.
    fn take(tags: &Tags, names: &[&str]) -> Option<Vec<Place>> {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        tags.places(&names).now_or_never()
    }

    #[test]
    fn as_many_at_once_as_the_limit_says() {
        let tags = Tags::default();
        assert!(take(&tags, &["db"]).unwrap().is_empty(), "what has no limit takes no place");
        tags.set(limits(&[("db", 2), ("gpu", 1)]));
        let one = take(&tags, &["db", "other", "db"]).unwrap();
        assert_eq!(one.len(), 1, "a tag that is named twice is one tag");
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

    #[tokio::test]
    async fn whoever_waits_goes_on_when_the_limit_is_lifted() {
        let tags = Tags::default();
        tags.set(limits(&[("db", 1)]));
        let taken = take(&tags, &["db"]).unwrap();
        let names = ["db".to_owned()];
        let (places, ()) = tokio::join!(tags.places(&names), async { tags.set(limits(&[])) });
        assert!(places.is_empty());
        drop(taken);
    }
}
