//! How things are said to people, in sentences and tables.

use std::fmt::Write;
use std::time::Duration;

use retake_core::failure::Failure;
use retake_core::time::Timestamp;
use retake_engine::Waits;
use retake_store::Limited;

/// Makes text of strangers harmless on a terminal: control characters and what turns the writing direction around
/// are shown as escapes; tabs and line ends stay (T21).
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' => out.push(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// The same on one line.
pub fn one_line(text: &str) -> String {
    plain(text).replace(['\n', '\t'], " ")
}

/// Returns what an error came of in the end.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut why = error;
    while let Some(source) = why.source() {
        why = source;
    }
    why.to_string()
}

/// Writes a duration as people say it: `1.2 s`, `5 min`, `2 h 10 min`.
pub fn took(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if duration.is_zero() => "0 s".into(),
        0 if duration.as_millis() == 0 => format!("{} µs", duration.as_micros().max(1)),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => {
            let tenths = duration.as_millis() / 100;
            if tenths.is_multiple_of(10) {
                format!("{} s", tenths / 10)
            } else {
                format!("{}.{} s", tenths / 10, tenths % 10)
            }
        }
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 if seconds % 3600 / 60 == 0 => format!("{} h", seconds / 3600),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ if seconds % 86_400 / 3600 == 0 => format!("{} d", seconds / 86_400),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Writes an instant for a table: seconds are enough there.
pub fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", &text[..19])
}

/// Writes a number of bytes.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// One line for a failure.
pub fn words(failure: &Failure) -> String {
    one_line(&format!("{}: {}", failure.code, failure.message))
}

/// Why a run waits, without a full stop.
pub fn waits_words(waits: &Waits) -> String {
    let times = |n: u32| if n == 1 { "1 run at once".to_owned() } else { format!("{n} runs at once") };
    match waits {
        Waits::Queue { queue, served } => {
            let served: Vec<String> = served.iter().map(|it| format!("`{}`", one_line(it))).collect();
            format!("nobody works on its queue `{}`: the server works on {}", one_line(queue), served.join(", "))
        }
        Waits::Drain => "the node drains: nothing begins until `retake nodes resume`".to_owned(),
        Waits::Limit { of: Limited::Queue(name), most } => {
            format!("the limit of queue `{}` is reached: {}", one_line(name), times(*most))
        }
        Waits::Limit { of: Limited::Deployment(name), most } => {
            format!("the limit of deployment `{}` is reached: {}", one_line(name), times(*most))
        }
        Waits::Rate { opens } => {
            format!("more runs came than the rate lets begin in a second: the next begins at {}", instant(*opens))
        }
        Waits::Slots { most } => format!("all {most} slots of the server are used"),
        Waits::Tag { call, tag } => {
            let by: Vec<String> = tag.holders.iter().map(|it| it.friendly_name()).collect();
            let by = if by.is_empty() { String::new() } else { format!(", used by {}", by.join(", ")) };
            let attempts = if tag.most == 1 { "attempt" } else { "attempts" };
            let (call, name) = (one_line(call), one_line(&tag.name));
            format!("{call} waits: the limit of tag `{name}` is reached, {} {attempts} at once{by}", tag.most)
        }
    }
}

/// When something goes on, as an instant and as a wait.
pub fn due_words(due: Timestamp, now: Timestamp) -> String {
    let wait = due.since(now);
    if due <= now {
        return instant(due);
    }
    // Rounded up: what is said to begin in 4 min 59.9 s begins in 5 min.
    let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_millis() > 0));
    format!("{} (in {})", instant(due), took(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_is_harmless() {
        assert_eq!(plain("a\u{1b}[31mb\rc\u{202e}d\te"), "a\\u{1b}[31mb\\u{d}c\\u{202e}d\te");
        assert_eq!(one_line("a\nb"), "a b");
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        let said = |ms| took(Duration::from_millis(ms));
        assert_eq!(
            [0, 7, 1200, 3000, 300_000, 90_000, 7_800_000, 86_400_000].map(said),
            ["0 s", "7 ms", "1.2 s", "3 s", "5 min", "1 min 30 s", "2 h 10 min", "1 d"]
        );
    }
}
