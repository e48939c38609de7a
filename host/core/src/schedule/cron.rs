//! Cron expressions: which minutes of the local clock they name, and when those come in a time zone.
//!
//! The five fields of crontab(5), minute first, with its names, lists, ranges and steps, and `@daily` and its like.
//! Refused is what is read in several ways elsewhere: seconds, years, `?`, `L`, `W`, `#`, `5/15`.
//!
//! Where the clock is put forward or back there are two wishes, and what tells them apart is the hour. With every
//! hour, as in `*/10 * * * *`, someone wants runs that are evenly apart: they come by real time, through both passes
//! of a repeated hour. With some hours, as in `30 2 * * *` or `0 */2 * * *`, someone wants each of them once a day:
//! of a minute that comes twice the first counts, and minutes that are left out come, together, when the gap ends.

use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp as Instant};

use crate::time::Timestamp;

/// How far ahead is searched. The rarest day that there is, a leap day on one weekday, comes after 40 years at most,
/// when a year such as 2100 lies between: what does not come until then never comes.
const HORIZON: SignedDuration = SignedDuration::from_hours(41 * 366 * 24);

const SHORTHANDS: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
];

/// An expression in a time zone.
#[derive(Debug)]
pub(super) struct Cron {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// Whether the day of the month or that of the week is enough, as in crontab(5): when neither begins with `*`.
    either_day: bool,
    zone: TimeZone,
}

impl Cron {
    /// Reads an expression. What is wrong with it is a sentence for people.
    pub(super) fn parse(expression: &str, zone: TimeZone) -> Result<Self, String> {
        let expression = expression.trim();
        let text = match SHORTHANDS.iter().find(|(it, _)| *it == expression) {
            Some((_, text)) => text,
            None if expression.starts_with('@') => {
                let known: Vec<&str> = SHORTHANDS.iter().map(|(it, _)| *it).collect();
                return Err(format!("`{}` is none of {}", expression.escape_debug(), known.join(", ")));
            }
            None => expression,
        };
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let n = fields.len();
            return Err(format!("{n} fields, expected 5: minute, hour, day of the month, month, day of the week"));
        };
        Ok(Self {
            minutes: MINUTE.parse(minute)?,
            hours: HOUR.parse(hour)?,
            days: DAY.parse(day)?,
            months: MONTH.parse(month)?,
            weekdays: WEEKDAY.parse(weekday)?.with_sunday_once(),
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
            zone,
        })
    }

    /// Returns the first instant after `after`, or `None` when none comes, or not before time ends.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let from = Instant::from_microsecond(after.as_micros().checked_add(1)?).ok()?;
        let horizon = from.checked_add(HORIZON).unwrap_or(Instant::MAX);
        // From one transition of the zone to the next the local clock is UTC and a constant, so the search in between
        // knows nothing of time zones. `start` is the transition before.
        let up_to_from = from.checked_add(SignedDuration::from_nanos(1)).ok()?;
        let mut start = self.zone.preceding(up_to_from).next().map(|it| it.timestamp());
        let mut ahead = self.zone.following(from).map(|it| it.timestamp());
        loop {
            let end = ahead.next().filter(|it| *it < horizon);
            let begin = start.map_or(from, |it| it.max(from));
            let offset = self.zone.to_offset(begin);
            let mut local = offset.to_datetime(begin);
            if let Some(start) = start
                && !self.hours.is_all_of(&HOUR)
            {
                let just_before = start.checked_sub(SignedDuration::from_nanos(1)).ok()?;
                let old = self.zone.to_offset(just_before).to_datetime(start);
                if start >= from && self.first(old, offset.to_datetime(start)).is_some() {
                    return Some(Timestamp::from_micros(start.as_microsecond()));
                }
                // When the clock was put back, it showed all until here before.
                local = local.max(old);
            }
            if let Some(found) = self.first(local, offset.to_datetime(end.unwrap_or(horizon))) {
                return Some(Timestamp::from_micros(offset.to_timestamp(found).ok()?.as_microsecond()));
            }
            start = Some(end?);
        }
    }

    /// Returns the first minute that is named, not before `from` and before `until`, on a clock that runs evenly.
    fn first(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let within_a_minute = from.second() != 0 || from.subsec_nanosecond() != 0;
        let mut date = from.date();
        let mut least = i16::from(from.hour()) * 60 + i16::from(from.minute()) + i16::from(within_a_minute);
        while date <= until.date() {
            if !self.months.has(date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                least = 0;
                continue;
            }
            if self.names_day(date)
                && let Some((hour, minute)) = self.first_of_day(least)
            {
                return Some(date.at(hour, minute, 0, 0)).filter(|it| *it < until);
            }
            date = date.tomorrow().ok()?;
            least = 0;
        }
        None
    }

    /// Returns the first hour and minute that are named, not before the minute `least` of a day.
    fn first_of_day(&self, least: i16) -> Option<(i8, i8)> {
        let (hour, minute) = (i8::try_from(least / 60).ok()?, i8::try_from(least % 60).ok()?);
        let this_hour = self.minutes.first(minute).filter(|_| self.hours.has(hour));
        match this_hour {
            Some(minute) => Some((hour, minute)),
            None => Some((self.hours.first(hour + 1)?, self.minutes.first(0)?)),
        }
    }

    fn names_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        if self.either_day { day || weekday } else { day && weekday }
    }
}

/// Small numbers: those that a field names.
#[derive(Debug, Clone, Copy)]
struct Set(u64);

impl Set {
    fn has(self, n: i8) -> bool {
        self.0 & (1 << n) != 0
    }

    fn first(self, least: i8) -> Option<i8> {
        let rest = self.0 & (u64::MAX << least);
        i8::try_from(rest.trailing_zeros()).ok().filter(|_| rest != 0)
    }

    fn is_all_of(self, field: &Field) -> bool {
        (field.least..=field.most).all(|n| self.has(n))
    }

    /// Sunday is written as 0 and as 7.
    fn with_sunday_once(self) -> Self {
        Self(self.0 & 0x7f | self.0 >> 7)
    }
}

/// What may stand in one of the five places.
struct Field {
    name: &'static str,
    least: i8,
    most: i8,
    /// From `least` on.
    words: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", least: 0, most: 59, words: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, words: &[] };
const DAY: Field = Field { name: "day of the month", least: 1, most: 31, words: &[] };
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field =
    Field { name: "day of the week", least: 0, most: 7, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Field {
    fn parse(&self, text: &str) -> Result<Set, String> {
        let mut set = 0;
        for part in text.split(',') {
            let shown = part.escape_debug();
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (part, None),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (self.least, self.most),
                Some((from, to)) => (self.value(from)?, self.value(to)?),
                None if step.is_some() => {
                    return Err(format!("`{shown}`: a step needs a range before it, or `*`"));
                }
                None => (self.value(range)?, self.value(range)?),
            };
            // `fri-sun` ends with the week.
            let to = if to == 0 && from > 0 && self.most == WEEKDAY.most { WEEKDAY.most } else { to };
            if from > to {
                return Err(format!("`{shown}` runs backwards: write two ranges"));
            }
            let most = self.most - self.least + 1;
            let step = step.map_or(Some(1), number).filter(|it| (1..=most).contains(it));
            let Some(step) = step else {
                return Err(format!("`{shown}`: a step of the {} is a number from 1 to {most}", self.name));
            };
            for n in (from..=to).step_by(step.unsigned_abs().into()) {
                set |= 1 << n;
            }
        }
        Ok(Set(set))
    }

    fn value(&self, text: &str) -> Result<i8, String> {
        let word = (self.least..).zip(self.words).find(|(_, word)| word.eq_ignore_ascii_case(text));
        let value = word.map(|(n, _)| n).or_else(|| number(text));
        value.filter(|it| (self.least..=self.most).contains(it)).ok_or_else(|| {
            let words = match self.words {
                [first, .., last] => format!(", or {first} to {last}"),
                _ => String::new(),
            };
            format!("`{}` is no {}: {} to {}{words}", text.escape_debug(), self.name, self.least, self.most)
        })
    }
}

/// Digits and nothing else: `parse` would take a sign.
fn number(text: &str) -> Option<i8> {
    text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Returns a zone of the IANA database that is built in.
///
/// Never the machine's: the same schedule has the same slots on every node, and the rules do no I/O.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok().filter(|it| !it.is_unknown())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cron(expression: &str, zone_name: &str) -> Cron {
        Cron::parse(expression, zone(zone_name).unwrap()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Returns the slots after one instant and up to another, as local times with their offsets.
    fn slots(expression: &str, zone_name: &str, after: &str, until: &str) -> Vec<String> {
        let (cron, mut last) = (cron(expression, zone_name), at(after));
        let mut seen = Vec::new();
        while let Some(slot) = cron.next_after(last).filter(|it| *it <= at(until)) {
            let zoned = Instant::from_microsecond(slot.as_micros()).unwrap().to_zoned(cron.zone.clone());
            seen.push(zoned.strftime("%d %H:%M%:z").to_string());
            last = slot;
        }
        seen
    }

    fn next(expression: &str, after: &str) -> String {
        let next = cron(expression, "UTC").next_after(at(after));
        next.map_or("never".into(), |it| it.to_string()[..16].into())
    }

    #[test]
    fn fields_are_those_of_a_crontab() {
        // A Thursday.
        let check =
            |expression, expected| assert_eq!(next(expression, "2026-01-01T00:00:00Z"), expected, "{expression}");
        check("* * * * *", "2026-01-01T00:01");
        check("*/10 * * * *", "2026-01-01T00:10");
        check("7-59/20 * * * *", "2026-01-01T00:07");
        check("  30\t2 * * *  ", "2026-01-01T02:30");
        check("0 22-23,1-2 * * *", "2026-01-01T01:00");
        check("0 0 1 JAN,jul *", "2026-07-01T00:00");
        check("0 6 * * 1-5", "2026-01-01T06:00");
        check("0 6 * * sat", "2026-01-03T06:00");
        check("0 6 * * 0", "2026-01-04T06:00");
        check("0 6 * * 7", "2026-01-04T06:00");
        check("0 6 * * sat-sun", "2026-01-03T06:00");
        check("0 6 * * 6-7", "2026-01-03T06:00");
        check("0 6 * * sun-tue", "2026-01-04T06:00");
        check("0 0 31 * *", "2026-01-31T00:00");
        check("0 0 31 4-6 *", "2026-05-31T00:00");
        check("@hourly", "2026-01-01T01:00");
        check("@daily", "2026-01-02T00:00");
        check("@weekly", "2026-01-04T00:00");
        check("@monthly", "2026-02-01T00:00");
        check("@yearly", "2027-01-01T00:00");
        // Either day is enough, unless one begins with a star.
        check("0 0 13 * 5", "2026-01-02T00:00");
        check("0 0 */13 * 5", "2026-02-27T00:00");
        check("0 0 13 * *", "2026-01-13T00:00");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let check = |expression: &str, expected: &str| {
            let said = Cron::parse(expression, TimeZone::UTC).unwrap_err();
            assert_eq!(said, expected, "{expression}");
        };
        check("", "0 fields, expected 5: minute, hour, day of the month, month, day of the week");
        check("0 0 6 * * 1", "6 fields, expected 5: minute, hour, day of the month, month, day of the week");
        check("@reboot", "`@reboot` is none of @hourly, @daily, @weekly, @monthly, @yearly");
        check("60 * * * *", "`60` is no minute: 0 to 59");
        check("+5 * * * *", "`+5` is no minute: 0 to 59");
        check("999 * * * *", "`999` is no minute: 0 to 59");
        check("0 24 * * *", "`24` is no hour: 0 to 23");
        check("0 0 0 * *", "`0` is no day of the month: 1 to 31");
        check("0 0 L * *", "`L` is no day of the month: 1 to 31");
        check("0 0 1 13 *", "`13` is no month: 1 to 12, or jan to dec");
        check("0 0 * * 8", "`8` is no day of the week: 0 to 7, or sun to sat");
        check("0 0 * * \u{1b}", "`\\u{1b}` is no day of the week: 0 to 7, or sun to sat");
        check("0, * * * *", "`` is no minute: 0 to 59");
        check("-5 * * * *", "`` is no minute: 0 to 59");
        check("0 22-2 * * *", "`22-2` runs backwards: write two ranges");
        check("5/15 * * * *", "`5/15`: a step needs a range before it, or `*`");
        check("*/0 * * * *", "`*/0`: a step of the minute is a number from 1 to 60");
        check("*/90 * * * *", "`*/90`: a step of the minute is a number from 1 to 60");
        check("*/ * * * *", "`*/`: a step of the minute is a number from 1 to 60");
    }

    #[test]
    fn next_is_strictly_after() {
        assert_eq!(next("*/5 * * * *", "2026-01-01T00:05:00Z"), "2026-01-01T00:10");
        assert_eq!(next("*/5 * * * *", "2026-01-01T00:04:59.999999Z"), "2026-01-01T00:05");
        assert_eq!(next("59 23 31 12 *", "2026-12-31T23:59:00.000001Z"), "2027-12-31T23:59");
    }

    #[test]
    fn rare_days_are_found_and_impossible_ones_are_not() {
        assert_eq!(next("0 0 29 2 *", "2024-02-29T00:00:00Z"), "2028-02-29T00:00");
        assert_eq!(next("0 0 29 2 *", "2096-02-29T00:00:00Z"), "2104-02-29T00:00");
        assert_eq!(next("0 0 29 2 */7", "2088-02-29T00:00:00Z"), "2128-02-29T00:00", "a Sunday: the longest wait");
        assert_eq!(next("0 0 30 2 *", "2026-01-01T00:00:00Z"), "never");
        assert_eq!(next("0 0 31 2,4,6,9,11 *", "2026-01-01T00:00:00Z"), "never");
        for zone_name in ["Europe/Berlin", "Africa/Casablanca"] {
            assert_eq!(cron("0 0 30 2 *", zone_name).next_after(at("2026-01-01T00:00:00Z")), None);
        }
    }

    #[test]
    fn nothing_comes_at_the_end_of_time() {
        for micros in [i64::MIN, i64::MAX, Instant::MAX.as_microsecond()] {
            assert_eq!(cron("* * * * *", "Europe/Berlin").next_after(Timestamp::from_micros(micros)), None);
        }
        let early = Timestamp::from_micros(Instant::MIN.as_microsecond());
        assert!(cron("* * * * *", "Europe/Berlin").next_after(early).is_some());
    }

    // The clock is put from 2:00 to 3:00 in Berlin on 2026-03-29, at 1:00 UTC, in New York on 2026-03-08, at 7:00 UTC,
    // and from 2:00 to 2:30 on Lord Howe Island on 2026-10-04, at 15:30 UTC of the day before.

    #[test]
    fn a_time_that_is_left_out_comes_once_when_the_gap_ends() {
        let berlin = |expression| slots(expression, "Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(berlin("30 2 * * *"), ["28 02:30+01:00", "29 03:00+02:00", "30 02:30+02:00"]);
        assert_eq!(berlin("0 2 * * *"), ["28 02:00+01:00", "29 03:00+02:00", "30 02:00+02:00"]);
        assert_eq!(berlin("0 3 * * *"), ["28 03:00+01:00", "29 03:00+02:00", "30 03:00+02:00"]);
        assert_eq!(berlin("0 2 29 3 *"), ["29 03:00+02:00"]);
        let sunday = |expression| slots(expression, "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z");
        assert_eq!(sunday("*/20 2 * * *"), ["29 03:00+02:00"], "all that is left out comes together");
        assert_eq!(sunday("30 2,3 * * *"), ["29 03:00+02:00", "29 03:30+02:00"]);
        assert_eq!(sunday("0 2,3 * * *"), ["29 03:00+02:00"], "one instant is one slot");
        assert_eq!(sunday("0 */2 * * *"), ["29 03:00+02:00", "29 04:00+02:00"]);
        let within = |after| slots("30 2 * * *", "Europe/Berlin", after, "2026-03-29T03:00:00Z");
        assert_eq!(within("2026-03-29T00:59:59.999999Z"), ["29 03:00+02:00"]);
        assert!(within("2026-03-29T01:00:00Z").is_empty());

        let new_york = slots("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", "2026-03-09T12:00:00Z");
        assert_eq!(new_york, ["08 03:00-04:00", "09 02:30-04:00"]);
        let lord_howe = slots("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T12:00:00Z", "2026-10-04T20:00:00Z");
        assert_eq!(lord_howe, ["03 02:15+10:30", "04 02:30+11:00", "05 02:15+11:00"]);
        // Where midnight is left out, the day still has its run.
        let havana = slots("@daily", "America/Havana", "2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z");
        assert_eq!(havana, ["08 01:00-04:00", "09 00:00-04:00"]);
        // Samoa had no 30 December 2011 at all.
        let apia = slots("0 6 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-31T00:00:00Z");
        assert_eq!(apia, ["29 06:00-10:00", "31 00:00+14:00", "31 06:00+14:00"]);
    }

    #[test]
    fn every_hour_goes_on_evenly_over_a_gap() {
        let berlin = |expression| slots(expression, "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z");
        assert_eq!(berlin("30 * * * *"), ["29 01:30+01:00", "29 03:30+02:00"]);
        assert_eq!(
            berlin("*/20 * * * *"),
            [
                "29 01:20+01:00",
                "29 01:40+01:00",
                "29 03:00+02:00",
                "29 03:20+02:00",
                "29 03:40+02:00",
                "29 04:00+02:00"
            ]
        );
        let lord_howe = slots("*/15 * * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-03T16:00:00Z");
        assert_eq!(lord_howe, ["04 01:45+10:30", "04 02:30+11:00", "04 02:45+11:00", "04 03:00+11:00"]);
    }

    // The clock is put back from 3:00 to 2:00 in Berlin on 2026-10-25, at 1:00 UTC, from 2:00 to 1:00 in New York on
    // 2026-11-01, at 6:00 UTC, and from 2:00 to 1:30 on Lord Howe Island on 2026-04-05, at 15:00 UTC of the day before.

    #[test]
    fn a_time_that_comes_twice_counts_once() {
        let berlin = |expression| slots(expression, "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(berlin("30 2 * * *"), ["25 02:30+02:00", "26 02:30+01:00"]);
        assert_eq!(berlin("0 3 25 * *"), ["25 03:00+01:00"]);
        let sunday = |expression| slots(expression, "Europe/Berlin", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z");
        assert_eq!(sunday("*/30 2,3 * * *"), ["25 02:00+02:00", "25 02:30+02:00", "25 03:00+01:00", "25 03:30+01:00"]);
        assert_eq!(sunday("0 */2 * * *"), ["25 02:00+02:00", "25 04:00+01:00"]);

        let new_york = slots("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", "2026-11-02T12:00:00Z");
        assert_eq!(new_york, ["01 01:30-04:00", "02 01:30-05:00"]);
        let lord_howe = slots("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-05T20:00:00Z");
        assert_eq!(lord_howe, ["05 01:45+11:00", "06 01:45+10:30"]);
        // From within the second pass, too.
        let after = slots("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T12:00:00Z");
        assert!(after.is_empty(), "{after:?}");
    }

    #[test]
    fn every_hour_runs_through_both_passes() {
        let berlin = |expression| slots(expression, "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z");
        assert_eq!(
            berlin("*/30 * * * *"),
            [
                "25 02:00+02:00",
                "25 02:30+02:00",
                "25 02:00+01:00",
                "25 02:30+01:00",
                "25 03:00+01:00",
                "25 03:30+01:00"
            ]
        );
        assert_eq!(berlin("* * * * *").len(), 180);
        assert_eq!(berlin("*/10 * * * *").len(), 18);
        assert_eq!(berlin("@hourly"), ["25 02:00+02:00", "25 02:00+01:00", "25 03:00+01:00"]);
        let new_york = slots("*/10 * * * *", "America/New_York", "2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z");
        assert_eq!(new_york.len(), 24);
        let lord_howe = slots("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:15:00Z", "2026-04-04T15:30:00Z");
        assert_eq!(
            lord_howe,
            ["05 01:30+11:00", "05 01:45+11:00", "05 01:30+10:30", "05 01:45+10:30", "05 02:00+10:30"]
        );
    }

    /// An expression as it was made, so that what it means need not be read from its text.
    #[derive(Debug, Clone)]
    struct Made {
        text: String,
        minutes: Vec<i8>,
        hours: Vec<i8>,
        days: Option<Vec<i8>>,
        months: Vec<i8>,
        weekdays: Option<Vec<i8>>,
    }

    impl Made {
        fn names(&self, local: DateTime) -> bool {
            let weekday = local.weekday().to_sunday_zero_offset();
            let day = match (&self.days, &self.weekdays) {
                (None, None) => true,
                (Some(days), None) => days.contains(&local.day()),
                (None, Some(weekdays)) => weekdays.contains(&weekday),
                (Some(days), Some(weekdays)) => days.contains(&local.day()) || weekdays.contains(&weekday),
            };
            day && self.months.contains(&local.month())
                && self.hours.contains(&local.hour())
                && self.minutes.contains(&local.minute())
        }

        /// Walks from minute to minute as a person with a crontab and a clock would.
        fn slots(&self, zone: &TimeZone, after: i64, minutes: i64) -> Vec<i64> {
            let local = |minute: i64| zone.to_datetime(Instant::from_second(minute * 60).unwrap());
            let one = SignedDuration::from_mins(1);
            let every_hour = self.hours.len() == 24;
            // What the clock showed before counts: a day is longer than any change of it but Samoa's.
            let mut shown = (after - 1440..=after).map(local).max().unwrap();
            let mut slots = Vec::new();
            for minute in after + 1..=after + minutes {
                let now = local(minute);
                let is_new = now > shown;
                let mut named = self.names(now) && (every_hour || is_new);
                if is_new && !every_hour {
                    let mut left_out = shown + one;
                    while left_out < now {
                        named |= self.names(left_out);
                        left_out += one;
                    }
                }
                shown = shown.max(now);
                if named {
                    slots.push(minute);
                }
            }
            slots
        }
    }

    fn some_of(least: i8, most: i8) -> impl Strategy<Value = Vec<i8>> {
        let all: Vec<i8> = (least..=most).collect();
        prop_oneof![
            3 => prop::sample::subsequence(all.clone(), 1..4),
            1 => prop::sample::subsequence(all, 1..=usize::from((most - least).unsigned_abs())),
        ]
    }

    fn listed(all: &[i8]) -> String {
        all.iter().map(i8::to_string).collect::<Vec<_>>().join(",")
    }

    /// A field, as text and as numbers: some numbers, or a star with a step.
    fn stepped(least: i8, most: i8) -> impl Strategy<Value = (String, Vec<i8>)> {
        prop_oneof![
            2 => some_of(least, most).prop_map(|all| (listed(&all), all)),
            2 => Just(("*".to_owned(), (least..=most).collect())),
            1 => (1..=most).prop_map(move |step| {
                (format!("*/{step}"), (least..=most).step_by(step.unsigned_abs().into()).collect())
            }),
        ]
    }

    fn any_cron() -> impl Strategy<Value = Made> {
        let days = prop_oneof![2 => Just(None), 1 => some_of(1, 31).prop_map(Some)];
        let weekdays = prop_oneof![2 => Just(None), 1 => some_of(0, 6).prop_map(Some)];
        (stepped(0, 59), stepped(0, 23), days, stepped(1, 12), weekdays).prop_map(
            |((minute, minutes), (hour, hours), days, (month, months), weekdays)| {
                let star = |it: &Option<Vec<i8>>| it.as_deref().map_or("*".into(), listed);
                let text = format!("{minute} {hour} {} {month} {}", star(&days), star(&weekdays));
                Made { text, minutes, hours, days, months, weekdays }
            },
        )
    }

    const ZONES: &[&str] = &[
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Havana",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Pacific/Chatham",
        "Pacific/Apia",
        "Africa/Casablanca",
        "Asia/Tehran",
        "Asia/Kathmandu",
        "Europe/Moscow",
    ];

    proptest! {
        /// No slot is skipped, none is invented, and each is after the one before: in all zones, and most often where
        /// the clock is changed.
        #[test]
        fn slots_are_those_that_a_walk_from_minute_to_minute_finds(
            made in any_cron(), zone_name in prop::sample::select(ZONES), second in 946_684_800i64..2_840_140_800,
            near: bool, hours_before in 0i64..72,
        ) {
            const MINUTES: i64 = 4 * 1440;
            let zone = zone(zone_name).unwrap();
            let change = zone.following(Instant::from_second(second).unwrap()).next().filter(|_| near);
            let second = change.map_or(second, |it| it.timestamp().as_second() - hours_before * 3600);
            let after = second.div_euclid(60);
            let expected = made.slots(&zone, after, MINUTES);

            let cron = Cron::parse(&made.text, zone).unwrap();
            let mut last = Timestamp::from_micros(after * 60_000_000);
            let end = (after + MINUTES) * 60_000_000;
            let mut found = Vec::new();
            while let Some(slot) = cron.next_after(last).filter(|it| it.as_micros() <= end) {
                prop_assert!(slot > last);
                prop_assert_eq!(slot.as_micros() % 60_000_000, 0);
                found.push(slot.as_micros() / 60_000_000);
                last = slot;
            }
            prop_assert_eq!(found, expected, "{} in {} after minute {}", made.text, zone_name, after);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9*/,a-zA-Z@ -]{0,40}|\\PC*", after: i64) {
            if let Ok(cron) = Cron::parse(&text, zone("Europe/Berlin").unwrap()) {
                let after = Timestamp::from_micros(after);
                prop_assert!(cron.next_after(after).is_none_or(|it| it > after));
            }
        }
    }
}
