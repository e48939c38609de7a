//! Why a run that could go on does not.

use std::sync::PoisonError;

use retake_core::run::RunState;
use retake_core::time::Timestamp;
use retake_store::{Limited, RunRecord};

use crate::tags::FullTag;
use crate::{Engine, Inner, Known};

/// Why a run that is due has not begun, or why a call of one that runs has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// Whoever works here serves other queues.
    Queue {
        /// Its queue.
        queue: String,
        /// Those that are served.
        served: Vec<String>,
    },
    /// Nothing begins, because this node drains.
    Drain,
    /// A limit is reached.
    Limit {
        /// Of what.
        of: Limited,
        /// How many runs it lets through at once.
        most: u32,
    },
    /// More runs came than begin in a second.
    Rate {
        /// When the next begins.
        opens: Timestamp,
    },
    /// As many runs are worked on as there are slots.
    Slots {
        /// How many those are.
        most: usize,
    },
    /// A call waits because the limit of a tag of its task is reached.
    Tag {
        /// What people call the call.
        call: String,
        /// The tag.
        tag: FullTag,
    },
}

impl Engine {
    /// Says why a run waits that is due, or what a call of one that runs here waits for; `None` where nothing is known
    /// to hold it up. Looks at what is at hand, and asks no store.
    pub fn waits(&self, record: &RunRecord) -> Option<Waits> {
        self.0.waits(record)
    }
}

impl Inner {
    fn waits(&self, record: &RunRecord) -> Option<Waits> {
        let (asked, now) = (&record.asked, self.outside.clock.now());
        match record.run.state {
            RunState::Running { .. } => {
                let calls = match self.active.lock().unwrap_or_else(PoisonError::into_inner).get(&asked.id) {
                    Some(Known::Here(calls, _)) => calls.upgrade(),
                    Some(Known::Early(_)) | None => None,
                };
                let (call, tag) = calls?.waits_for_tag()?;
                return Some(Waits::Tag { call, tag });
            }
            RunState::Scheduled { due, .. } if due <= now => {}
            _ => return None,
        }
        let (served, free) = {
            let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
            let desk = desk.as_ref()?;
            (desk.queues().to_vec(), desk.free(asked.depth))
        };
        if !served.is_empty() && !served.contains(&asked.queue) {
            return Some(Waits::Queue { queue: asked.queue.clone(), served });
        }
        if self.holds_back(asked.depth) {
            return Some(Waits::Drain);
        }
        if let Some((of, most)) = self.rooms.full(asked) {
            return Some(Waits::Limit { of, most });
        }
        if free == 0 {
            let settings = &self.settings;
            let most = if asked.depth == 0 { settings.flow_slots } else { settings.child_slots };
            return Some(Waits::Slots { most });
        }
        let opens = (asked.depth == 0).then(|| self.pace.opens(now)).flatten();
        opens.map(|opens| Waits::Rate { opens })
    }
}
