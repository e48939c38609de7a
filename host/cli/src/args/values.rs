//! From words to values.

use std::ffi::OsString;
use std::time::Duration;

/// Commands of which `-q` means the queue. Everywhere else it means quiet, so clap cannot know both.
const QUEUED: [&str; 3] = ["deploy", "server", "worker"];

/// Returns what was typed, `-q` of those commands written as `--queue`.
pub(crate) fn typed(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut queued = false;
    let written = words.map(|word| match word.to_str() {
        Some(command) if QUEUED.contains(&command) => {
            queued = true;
            word
        }
        Some("-q") if queued => "--queue".into(),
        Some(short) if queued && short.starts_with("-q=") => format!("--queue{}", &short[2..]).into(),
        _ => word,
    });
    written.collect()
}

/// Reads how long runs are kept.
pub(super) fn retention(text: &str) -> Result<Duration, String> {
    let shortest = retake_core::limits::RETENTION_MIN;
    let long = duration(text)?;
    match long >= shortest {
        true => Ok(long),
        false => Err(format!("a minute at least, or leave it out: then runs are kept for ever (`{text}` was typed)")),
    }
}

/// Reads a duration such as `5m`, `1h 30m` or `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as `30s`, `5m`, `1h 30m` or `7d`".to_owned();
    // Zero is zero in any unit, and people leave it out.
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    // Days and weeks are of 24 hours and of 7 days here: nothing that is typed so means a calendar.
    let unit = |name: char, hours: u64| {
        let number = text.strip_suffix(name)?.trim().parse::<u64>().ok()?;
        Some(Duration::from_secs(number.checked_mul(hours * 3600)?))
    };
    if let Some(whole) = unit('d', 24).or_else(|| unit('w', 24 * 7)) {
        return Ok(whole);
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| match text.parse::<f64>() {
        Ok(_) => format!("{}; did you mean `{text}s`?", expected()),
        Err(_) => expected(),
    })?;
    span.try_into().map_err(|_| "a duration cannot be negative".to_owned())
}

pub(super) fn instant(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| "expected an instant such as `2026-01-31T08:00:00Z`".to_owned())
}

/// Reads a size such as `64MiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let expected = || "expected a size such as `64MiB` or `1GiB`".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(expected()),
    };
    number.parse::<u64>().ok().and_then(|it| it.checked_mul(scale)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::super::{Args, Command};
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_short_q_means_the_queue_where_there_is_one() {
        let queue = |words: &str| {
            let args = Args::try_parse_from(typed(words.split(' ').map(Into::into))).unwrap();
            match args.command {
                Command::Deploy(it) => (it.queue, args.quiet),
                Command::Worker(it) => (it.queue.into_iter().next(), args.quiet),
                _ => (None, args.quiet),
            }
        };
        assert_eq!(queue("retake deploy x.wasm -n dev -q dev"), (Some("dev".into()), false));
        assert_eq!(queue("retake -q worker -q dev"), (Some("dev".into()), true));
        assert_eq!(queue("retake ps -q"), (None, true));
    }

    #[test]
    fn durations_and_sizes_are_read_or_explained() {
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!(duration("1w"), duration("7d"));
        assert!(duration("99999999999999999999d").is_err());
        assert!(duration("5").unwrap_err().contains("did you mean `5s`?"));
        assert!(duration("-5s").unwrap_err().contains("negative"));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert!(size("64MB").is_err());
        assert!(size("99999999999999GiB").is_err());
    }
}
