//! When runs of a deployment begin by themselves.
//!
//! A schedule has slots: instants that its rule names. Each slot makes one run at most, whatever happens, because the
//! slot is part of the run's idempotency key. What is here says which slots there are and which are due at a given
//! instant; it waits for nothing, and whether the run before has ended is for the caller to know.

mod cron;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::cron::Cron;
use crate::limits;
use crate::retry::BadField;
use crate::time::{Timestamp, millis};
use crate::value::Json;

/// When runs of a deployment begin by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Of which deployment: `flow/name`.
    pub deployment: String,
    /// Which slots there are.
    pub when: When,
    /// What happens when the last run of this schedule has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens with slots that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Each run begins up to that much after its slot.
    #[serde(with = "millis", default)]
    pub jitter: Duration,
    /// A JSON object: parameters over the deployment's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Json>,
    /// Whether it makes no runs. What it misses meanwhile is missed as if no server ran.
    #[serde(default)]
    pub paused: bool,
    /// The next slot; `None` when there is none any more.
    #[serde(default)]
    pub next: Option<Timestamp>,
    /// Slots that have come and wait until the run of an earlier one has ended: where they overlap and are queued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queued: Vec<Timestamp>,
    /// The last slot that made a run.
    #[serde(default)]
    pub last: Option<Timestamp>,
    /// The last slot, if it made no run because it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedSlot>,
}

/// A slot that made no run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedSlot {
    /// When by the rule.
    pub slot: Timestamp,
    /// Why.
    pub error: String,
}

/// Which slots a schedule has. All are whole milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum When {
    /// As in a crontab.
    Cron {
        /// Five fields, minute first, or one of `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`.
        expression: String,
        /// On whose clock: a name from the IANA database.
        #[serde(default = "utc")]
        time_zone: String,
    },
    /// Evenly apart, whatever the clocks on the wall do.
    Every {
        /// From one slot to the next.
        #[serde(with = "millis", rename = "interval_ms")]
        interval: Duration,
        /// The first slot. The epoch unless it is said, so that every ten minutes is at 0, 10, 20 past.
        #[serde(default)]
        anchor: Timestamp,
    },
    /// A single time.
    Once {
        /// When.
        at: Timestamp,
    },
}

fn utc() -> String {
    "UTC".into()
}

/// What happens with a slot when the last run of the same schedule has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// Its run begins all the same.
    #[default]
    Allow,
    /// It makes no run.
    Skip,
    /// Its run waits until the last one has ended.
    Queue,
}

/// What happens with slots that were missed, because no server ran or because the schedule was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// They make no runs.
    None,
    /// The latest of them makes a run, unless a later slot is due anyway.
    #[default]
    Latest,
    /// Each makes a run, as far as the latest [`limits::CATCH_UP_SLOTS`].
    All,
}

/// A slot whose run is to be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// When by the rule.
    pub at: Timestamp,
    /// When its run begins: jitter is added.
    pub begins: Timestamp,
    /// The idempotency key of its run.
    pub key: String,
}

/// What is to be done for a schedule at some instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The slots whose runs are to be made, the earliest first.
    pub slots: Vec<Slot>,
    /// What [`Schedule::next`] is afterwards.
    pub next: Option<Timestamp>,
    /// What [`Schedule::last`] is afterwards.
    pub last: Option<Timestamp>,
}

impl Schedule {
    /// Checks every bound. Whether there is such a deployment is for the caller to know.
    pub fn check(&self) -> Result<(), BadField> {
        let named = |it: &str| (1..=limits::NAME_BYTES).contains(&it.len());
        // A flow's name may have slashes, a deployment's has none.
        let fine = self.deployment.rsplit_once('/').is_some_and(|(flow, name)| named(flow) && named(name));
        BadField::unless(fine, "deployment", || "expected `flow/name`".into())?;
        self.when.check()?;
        let most = limits::SCHEDULE_JITTER;
        BadField::unless(self.jitter <= most, "jitter", || {
            format!("{:?}, at most {} hours are allowed", self.jitter, most.as_secs() / 3600)
        })?;
        let object = self.parameters.as_ref().is_none_or(|it| it.as_str().trim_start().starts_with('{'));
        BadField::unless(object, "parameters", || "expected a JSON object".into())
    }

    /// Returns which slots make a run at `now`, and what is kept of it.
    ///
    /// The runs are to be made before `next` and `last` are kept: when only the former happened, they are due again
    /// and their keys find what was made.
    pub fn due(&self, name: &str, now: Timestamp) -> Due {
        let unchanged = Due { slots: Vec::new(), next: self.next, last: self.last };
        let Some(first) = self.next.filter(|it| *it <= now && !self.paused) else { return unchanged };
        let Some(rule) = self.when.rule() else { return Due { next: None, ..unchanged } };
        let on_time = now.as_micros().saturating_sub(micros(limits::MISSED_AFTER));
        let (before, late) = (first.as_micros().saturating_sub(1), on_time.saturating_sub(1));
        let most = limits::CATCH_UP_SLOTS;
        let punctual = rule.latest(before.max(late), now.as_micros(), most);
        let missed = match self.catch_up {
            CatchUp::Latest if punctual.is_empty() => rule.latest(before, late, 1),
            CatchUp::None | CatchUp::Latest => Vec::new(),
            CatchUp::All => rule.latest(before, late, most),
        };
        let slots: Vec<Slot> = missed
            .into_iter()
            .chain(punctual)
            .map(|at| Slot { at, begins: self.begins(name, at), key: Self::key(name, at) })
            .collect();
        let last = slots.last().map(|it| it.at).or(self.last);
        Due { slots, next: rule.next_after(now), last }
    }

    /// Returns when the run of a slot begins: up to `jitter` later, by a hash of the schedule's name and the slot.
    ///
    /// So that schedules with one slot do not begin together, while each begins when a person was told that it would.
    pub fn begins(&self, name: &str, slot: Timestamp) -> Timestamp {
        let hash = Sha256::digest(Self::key(name, slot));
        let entropy = hash.iter().take(8).fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        let most = self.jitter.min(limits::SCHEDULE_JITTER);
        let extra = ((most.as_millis() + 1) * u128::from(entropy)) >> 64;
        slot + Duration::from_millis(u64::try_from(extra).unwrap_or(u64::MAX))
    }

    /// Returns the idempotency key of a slot's run.
    pub fn key(name: &str, slot: Timestamp) -> String {
        format!("schedule:{name}:{slot}")
    }
}

impl When {
    /// Checks every bound, and that there is a slot at all. Fields are named as they stand in a [`Schedule`].
    pub fn check(&self) -> Result<(), BadField> {
        match self {
            Self::Cron { expression, time_zone } => {
                let (field, most) = ("when.expression", limits::CRON_BYTES);
                BadField::unless(expression.len() <= most, field, || {
                    format!("{} bytes, at most {most} are allowed", expression.len())
                })?;
                let zone = Some(time_zone).filter(|it| it.len() <= limits::NAME_BYTES).and_then(|it| cron::zone(it));
                let zone = zone.ok_or_else(|| BadField {
                    field: "when.time_zone".into(),
                    problem: "no time zone of that name: expected one such as `Europe/Berlin`".into(),
                })?;
                let cron = Cron::parse(expression, zone);
                let cron = cron.map_err(|problem| BadField { field: field.into(), problem })?;
                BadField::unless(cron.next_after(Timestamp::default()).is_some(), field, || {
                    "there is no such day in any year".into()
                })
            }
            Self::Every { interval, anchor } => {
                let (least, most) = (limits::SCHEDULE_INTERVAL.start(), limits::SCHEDULE_INTERVAL.end());
                BadField::unless(limits::SCHEDULE_INTERVAL.contains(interval), "when.interval_ms", || {
                    format!("{interval:?} is not within {least:?} and {} days", most.as_secs() / 86_400)
                })?;
                check_instant("when.anchor", *anchor)
            }
            Self::Once { at } => check_instant("when.at", *at),
        }
    }

    /// Returns the first slot after `after`. One that [`When::check`] refuses has none.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.rule()?.next_after(after)
    }

    /// Returns the first `count` slots after `after`, or those that there are.
    pub fn next(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        self.rule().map(|it| it.slots_after(after).take(count).collect()).unwrap_or_default()
    }

    fn rule(&self) -> Option<Rule> {
        Some(match self {
            Self::Cron { expression, time_zone } => Rule::Cron(Cron::parse(expression, cron::zone(time_zone)?).ok()?),
            Self::Every { interval, anchor } => Rule::Every {
                interval: i64::try_from(interval.as_millis()).ok().filter(|it| *it > 0)?,
                anchor: floor_millis(*anchor),
            },
            Self::Once { at } => Rule::Once(floor_millis(*at)),
        })
    }
}

/// What is later can be written but not read back.
fn check_instant(field: &str, at: Timestamp) -> Result<(), BadField> {
    let fine = at.to_string().parse::<Timestamp>().is_ok();
    BadField::unless(fine, field, || "is not within the years 0 and 9999".into())
}

/// A [`When`] that was read. Lengths and instants are in milliseconds.
///
/// Slots are written with milliseconds: with more in them they would be others once they were read again.
enum Rule {
    Cron(Cron),
    Every { interval: i64, anchor: i64 },
    Once(i64),
}

impl Rule {
    fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let floor = floor_millis(after);
        let slot = match self {
            Self::Cron(cron) => return cron.next_after(after),
            Self::Every { anchor, .. } if floor < *anchor => Some(*anchor),
            Self::Every { interval, anchor } => {
                let passed = floor.checked_sub(*anchor)? / interval;
                (passed + 1).checked_mul(*interval)?.checked_add(*anchor)
            }
            Self::Once(at) => Some(*at).filter(|it| floor < *it),
        };
        Some(Timestamp::from_micros(slot?.checked_mul(1000)?))
    }

    fn slots_after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(after), |it| self.next_after(*it))
    }

    /// Returns the last `most` slots after `after` and not after `until`, in microseconds.
    ///
    /// Between the two may lie a year of seconds. So that this costs the same then, the place to begin at is found by
    /// halving: no more than `most` slots are ever looked at in a row.
    fn latest(&self, after: i64, until: i64, most: usize) -> Vec<Timestamp> {
        let as_many = |after: i64, n: usize| -> Vec<Timestamp> {
            let slots = self.slots_after(Timestamp::from_micros(after));
            slots.take_while(|it| it.as_micros() <= until).take(n).collect()
        };
        if as_many(after, most + 1).len() <= most {
            return as_many(after, most);
        }
        // After `many` there are more than `most`, after `few` there are not.
        let (mut many, mut few) = (after, until);
        while few.saturating_sub(many) > 1 {
            let middle = i64::midpoint(many, few);
            if as_many(middle, most + 1).len() > most {
                many = middle;
            } else {
                few = middle;
            }
        }
        as_many(few, most)
    }
}

fn floor_millis(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1000)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn cron(expression: &str, time_zone: &str) -> When {
        When::Cron { expression: expression.into(), time_zone: time_zone.into() }
    }

    fn every(interval: Duration) -> When {
        When::Every { interval, anchor: Timestamp::default() }
    }

    fn schedule(when: When, catch_up: CatchUp, next: &str) -> Schedule {
        Schedule {
            deployment: "orders/dev".into(),
            when,
            overlap: Overlap::default(),
            catch_up,
            jitter: Duration::ZERO,
            parameters: None,
            paused: false,
            next: Some(at(next)),
            queued: Vec::new(),
            last: None,
            failed: None,
        }
    }

    fn times(slots: &[Timestamp]) -> Vec<String> {
        slots.iter().map(ToString::to_string).collect()
    }

    /// Says which slots are due, as `HH:MM:SS`, and what the next one is.
    fn due(schedule: &Schedule, now: &str) -> (Vec<String>, Option<Timestamp>) {
        let due = schedule.due("nightly", at(now));
        assert_eq!(due.last, due.slots.last().map(|it| it.at).or(schedule.last));
        (due.slots.iter().map(|it| it.at.to_string()[11..19].to_owned()).collect(), due.next)
    }

    #[test]
    fn is_pleasant_to_type() {
        let typed = r#"{"deployment":"orders/dev","when":{"cron":{"expression":"0 6 * * 1-5",
            "time_zone":"Europe/Berlin"}},"overlap":"skip","catch_up":"latest"}"#;
        let schedule: Schedule = serde_json::from_str(typed).unwrap();
        schedule.check().unwrap();
        assert_eq!(schedule.when, cron("0 6 * * 1-5", "Europe/Berlin"));
        assert_eq!((schedule.overlap, schedule.catch_up), (Overlap::Skip, CatchUp::Latest));

        let when = |text: &str| serde_json::from_str::<When>(text).unwrap();
        assert_eq!(when(r#"{"cron":{"expression":"@daily"}}"#), cron("@daily", "UTC"));
        assert_eq!(when(r#"{"every":{"interval_ms":600000}}"#), every(secs(600)));
        let once = When::Once { at: at("2026-03-29T01:00:00Z") };
        assert_eq!(when(r#"{"once":{"at":"2026-03-29T03:00:00+02:00"}}"#), once);
        for odd in [r#"{"cron":{"expression":"@daily","zone":"UTC"}}"#, r#"{"once":{"at":"tomorrow"}}"#] {
            assert!(serde_json::from_str::<When>(odd).is_err(), "{odd}");
        }
        assert!(serde_json::from_str::<Schedule>(&typed.replace("overlap", "overlaps")).is_err());
    }

    #[test]
    fn is_read_as_it_was_written() {
        let mut it = schedule(every(secs(90)), CatchUp::All, "2026-01-01T00:00:30.250Z");
        it.jitter = Duration::from_millis(1500);
        it.parameters = Some(Json::trusted(r#"{"n":1}"#));
        it.last = it.next;
        let text = serde_json::to_string(&it).unwrap();
        assert_eq!(
            text,
            r#"{"deployment":"orders/dev","when":{"every":{"interval_ms":90000,"anchor":"1970-01-01T00:00:00.000Z"}},"#
                .to_owned()
                + r#""overlap":"allow","catch_up":"all","jitter":1500,"parameters":{"n":1},"paused":false,"#
                + r#""next":"2026-01-01T00:00:30.250Z","last":"2026-01-01T00:00:30.250Z"}"#
        );
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), it);
    }

    #[test]
    fn bounds_are_refused_by_name() {
        let fine = || schedule(every(secs(1)), CatchUp::None, "2026-01-01T00:00:00Z");
        fine().check().unwrap();
        let message = |schedule: Schedule| schedule.check().unwrap_err().to_string();
        let of = |when| message(Schedule { when, ..fine() });
        for odd in ["orders", "orders/", "/dev", &format!("a/{}", "x".repeat(129))] {
            let said = message(Schedule { deployment: odd.into(), ..fine() });
            assert_eq!(said, "`deployment`: expected `flow/name`", "{odd}");
        }
        Schedule { deployment: "orders/eu/dev".into(), ..fine() }.check().unwrap();
        assert_eq!(
            message(Schedule { jitter: secs(86_401), ..fine() }),
            "`jitter`: 86401s, at most 24 hours are allowed"
        );
        assert_eq!(
            message(Schedule { parameters: Some(Json::trusted("[1]")), ..fine() }),
            "`parameters`: expected a JSON object"
        );
        assert_eq!(
            of(cron("@daily", "Europe/Brlin")),
            "`when.time_zone`: no time zone of that name: expected one such as `Europe/Berlin`"
        );
        assert!(of(cron("@daily", "Etc/Unknown")).starts_with("`when.time_zone`"));
        assert_eq!(of(cron("0 0 30 2 *", "UTC")), "`when.expression`: there is no such day in any year");
        assert_eq!(of(cron(&" ".repeat(257), "UTC")), "`when.expression`: 257 bytes, at most 256 are allowed");
        assert_eq!(of(cron("60 * * * *", "UTC")), "`when.expression`: `60` is no minute: 0 to 59");
        assert_eq!(of(every(Duration::from_millis(999))), "`when.interval_ms`: 999ms is not within 1s and 366 days");
        assert!(of(every(secs(366 * 86_400 + 1))).starts_with("`when.interval_ms`"));
        assert!(of(When::Once { at: Timestamp::MAX }).starts_with("`when.at`"));
        assert!(of(When::Every { interval: secs(1), anchor: Timestamp::MAX }).starts_with("`when.anchor`"));
    }

    #[test]
    fn every_interval_counts_from_its_anchor() {
        let anchored = When::Every { interval: secs(90), anchor: at("2026-01-01T00:00:30.000900Z") };
        let slots = ["2026-01-01T00:00:30.000Z", "2026-01-01T00:02:00.000Z", "2026-01-01T00:03:30.000Z"];
        assert_eq!(times(&anchored.next(at("2025-01-01T00:00:00Z"), 3)), slots, "whole milliseconds, as it is written");
        assert_eq!(times(&anchored.next(at("2026-01-01T00:00:30Z"), 2)), slots[1..], "strictly after");
        assert_eq!(times(&anchored.next(at("2026-01-01T00:01:59.999999Z"), 1)), slots[1..2]);
        assert_eq!(anchored.next_after(Timestamp::MAX), None);
        assert_eq!(every(Duration::ZERO).next_after(Timestamp::default()), None);
    }

    #[test]
    fn once_is_once() {
        let once = When::Once { at: at("2026-01-01T00:00:00Z") };
        assert_eq!(once.next(at("2025-12-31T23:59:59.999Z"), 10).len(), 1);
        assert_eq!(once.next_after(at("2026-01-01T00:00:00Z")), None);
        let schedule = schedule(once, CatchUp::Latest, "2026-01-01T00:00:00Z");
        assert_eq!(due(&schedule, "2026-01-01T00:00:00Z"), (vec!["00:00:00".into()], None));
        assert_eq!(due(&schedule, "2026-02-01T00:00:00Z"), (vec!["00:00:00".into()], None));
    }

    #[test]
    fn a_slot_that_has_come_makes_its_run() {
        let mut schedule = schedule(cron("0 * * * *", "UTC"), CatchUp::None, "2026-01-01T06:00:00Z");
        schedule.last = Some(at("2026-01-01T05:00:00Z"));
        let six = || vec!["06:00:00".to_owned()];
        let seven = Some(at("2026-01-01T07:00:00Z"));
        assert_eq!(due(&schedule, "2026-01-01T05:59:59.999Z"), (vec![], schedule.next), "not before");
        assert_eq!(due(&schedule, "2026-01-01T06:00:00Z"), (six(), seven));
        assert_eq!(due(&schedule, "2026-01-01T06:01:00Z"), (six(), seven), "a minute late is on time");
        assert_eq!(due(&schedule, "2026-01-01T06:01:00.001Z"), (vec![], seven));
    }

    #[test]
    fn missed_slots_are_caught_up_as_was_asked() {
        let hourly = |catch_up| schedule(cron("0 * * * *", "UTC"), catch_up, "2026-01-01T06:00:00Z");
        let next = Some(at("2026-01-01T10:00:00Z"));
        let (between, sharp) = ("2026-01-01T09:30:00Z", "2026-01-01T09:00:00Z");
        let strings = |all: &[&str]| all.iter().map(|it| it.to_string()).collect::<Vec<_>>();
        for (catch_up, now, slots) in [
            (CatchUp::None, between, &[][..]),
            (CatchUp::None, sharp, &["09:00:00"]),
            (CatchUp::Latest, between, &["09:00:00"]),
            (CatchUp::Latest, sharp, &["09:00:00"]),
            (CatchUp::All, between, &["06:00:00", "07:00:00", "08:00:00", "09:00:00"]),
            (CatchUp::All, sharp, &["06:00:00", "07:00:00", "08:00:00", "09:00:00"]),
        ] {
            assert_eq!(due(&hourly(catch_up), now), (strings(slots), next), "{catch_up:?} at {now}");
        }
    }

    #[test]
    fn a_year_of_missed_seconds_makes_a_hundred_runs() {
        let schedule = schedule(every(secs(1)), CatchUp::All, "2025-01-01T00:00:00Z");
        let (slots, next) = due(&schedule, "2026-01-01T00:00:00Z");
        // A hundred that were missed, and those of the last minute.
        assert_eq!(slots.len(), 161);
        assert_eq!((slots[0].as_str(), slots[160].as_str()), ("23:57:20", "00:00:00"));
        assert_eq!(next, Some(at("2026-01-01T00:00:01Z")));
    }

    #[test]
    fn what_is_missed_while_paused_waits_until_it_goes_on() {
        let mut schedule = schedule(cron("0 * * * *", "UTC"), CatchUp::All, "2026-01-01T06:00:00Z");
        schedule.paused = true;
        assert_eq!(due(&schedule, "2026-01-01T07:30:00Z"), (vec![], schedule.next));
        schedule.paused = false;
        assert_eq!(due(&schedule, "2026-01-01T07:30:00Z").0, ["06:00:00", "07:00:00"]);
    }

    #[test]
    fn a_slot_has_one_key_and_one_beginning() {
        let mut schedule = schedule(cron("@hourly", "UTC"), CatchUp::Latest, "2026-01-01T06:00:00Z");
        for slot in schedule.when.next(Timestamp::default(), 50) {
            assert_eq!(schedule.begins("nightly", slot), slot, "without jitter");
        }
        schedule.jitter = secs(600);
        let begun = schedule.due("nightly", at("2026-01-01T06:00:01Z"));
        assert_eq!(begun.slots[0].key, "schedule:nightly:2026-01-01T06:00:00.000Z");
        // A crash before `next` was kept: the same again.
        assert_eq!(schedule.due("nightly", at("2026-01-01T06:00:59Z")).slots, begun.slots);
        // Pinned: another version of the host must not begin a run at another time than was shown.
        assert_eq!(begun.slots[0].begins.to_string(), "2026-01-01T06:00:08.733Z");
        assert_ne!(schedule.begins("nightly", begun.slots[0].at), schedule.begins("other", begun.slots[0].at));
    }

    proptest! {
        #[test]
        fn jitter_is_never_early_and_never_over_its_bound(name: String, slot in 0i64..1 << 52, jitter in 0u64..=86_400_000) {
            let mut schedule = schedule(every(secs(1)), CatchUp::None, "2026-01-01T00:00:00Z");
            schedule.jitter = Duration::from_millis(jitter);
            let slot = Timestamp::from_micros(slot);
            let begins = schedule.begins(&name, slot);
            prop_assert!(begins >= slot && begins <= slot + schedule.jitter);
        }

        /// However often and when it is asked: with `All` each slot makes one run, in order, as long as no more is
        /// missed at once than is caught up.
        #[test]
        fn all_makes_a_run_of_each_slot(interval in 1u64..4000, waits in prop::collection::vec(0u64..99_000, 1..20)) {
            let mut now = at("2026-01-01T00:00:00Z");
            let mut schedule = schedule(every(secs(interval)), CatchUp::All, "2026-01-01T00:00:00Z");
            let all = schedule.when.next(Timestamp::from_micros(now.as_micros() - 1), 99 * 20 + 1);
            let mut seen = Vec::new();
            for wait in waits {
                now = now + Duration::from_millis(wait * interval);
                let due = schedule.due("n", now);
                prop_assert_eq!(&due, &schedule.due("n", now));
                prop_assert!(due.next.is_some_and(|it| it > now));
                seen.extend(due.slots.iter().map(|it| it.at));
                (schedule.next, schedule.last) = (due.next, due.last);
            }
            prop_assert_eq!(&seen[..], &all[..seen.len()]);
            prop_assert_eq!(schedule.next, Some(all[seen.len()]));
            prop_assert_eq!(schedule.last, seen.last().copied());
        }

        #[test]
        fn the_latest_slots_are_the_last_of_all(
            interval in 1i64..50, anchor in -100i64..100, after in -200i64..200, length in 0i64..400, most in 1usize..6,
        ) {
            let rule = Rule::Every { interval, anchor };
            let (after, until) = (after * 1000, (after + length) * 1000);
            let all = rule.slots_after(Timestamp::from_micros(after));
            let all: Vec<Timestamp> = all.take_while(|it| it.as_micros() <= until).collect();
            prop_assert_eq!(rule.latest(after, until, most), &all[all.len().saturating_sub(most)..]);
        }

        /// Whatever a schedule says, in bounds or not, and whatever the time: nothing overflows, nothing takes for ever.
        #[test]
        fn any_schedule_is_survived(
            interval: u64, anchor: i64, next: i64, now: i64, expression in "[0-9*/,@a-z -]{0,20}", which in 0..3,
        ) {
            let (anchor, now) = (Timestamp::from_micros(anchor), Timestamp::from_micros(now));
            let when = match which {
                0 => When::Every { interval: Duration::from_millis(interval), anchor },
                1 => When::Once { at: anchor },
                _ => cron(&expression, "America/New_York"),
            };
            let mut schedule = schedule(when, CatchUp::All, "2026-01-01T00:00:00Z");
            schedule.next = Some(Timestamp::from_micros(next));
            schedule.jitter = Duration::MAX;
            let _ = schedule.check();
            let due = schedule.due("n", now);
            prop_assert!(due.slots.iter().all(|it| it.at <= now && it.begins >= it.at));
            prop_assert!(due.slots.windows(2).all(|it| it[0].at < it[1].at));
            if !due.slots.is_empty() {
                prop_assert!(due.next.is_none_or(|it| it > now));
            }
        }
    }
}
