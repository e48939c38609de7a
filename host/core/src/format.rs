//! Texts that stand for something else: what `format` and `contentEncoding` in a JSON Schema ask for, where the rule is
//! wider than JSON Schema's own.

/// Whether a text is an instant or a local date and time: RFC 3339, with or without its offset, because a clock on the
/// wall has none (Python's naive `datetime`, a form's `datetime-local`).
pub fn is_date_time(text: &str) -> bool {
    let has_both = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) && !text.contains('[');
    has_both
        && (text.parse::<jiff::Timestamp>().is_ok() || is_local(text) && text.parse::<jiff::civil::DateTime>().is_ok())
}

/// Whether a text is a time of day: RFC 3339, with or without its offset.
pub fn is_time(text: &str) -> bool {
    let has_minutes = text.as_bytes().get(2) == Some(&b':') && !text.contains('[');
    // An offset has no meaning without a day but how it is written.
    has_minutes && (is_date_time(&format!("2000-01-01T{text}")))
}

/// Whether nothing after the time says which offset it has.
fn is_local(text: &str) -> bool {
    text.bytes().skip(11).all(|it| it.is_ascii_digit() || b":.,".contains(&it))
}

/// Whether a text is a length of time: ISO 8601's `P1DT2H3.5S` or `P2W`, with a sign where it may be one (`-P1D`), and with
/// a fraction in its last part.
pub fn is_duration(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some(parts) = unsigned.strip_prefix('P') else { return false };
    let (days, time) = parts.split_once('T').map_or((parts, None), |(days, time)| (days, Some(time)));
    let of_days = units(days, "YMWD");
    let of_time = time.map_or(Some((0, false)), |it| units(it, "HMS").filter(|(count, _)| *count > 0));
    match (of_days, of_time) {
        (Some((days, fraction)), Some((times, _))) => days + times > 0 && !(fraction && times > 0),
        _ => false,
    }
}

/// Returns how many numbers with these units, in their order, a text has, and whether the last of them has a fraction.
fn units(mut text: &str, mut units: &str) -> Option<(usize, bool)> {
    let (mut count, mut fraction) = (0, false);
    while !text.is_empty() {
        let end = text.find(|it: char| !(it.is_ascii_digit() || it == '.' || it == ','))?;
        let (number, rest) = text.split_at(end);
        let unit = rest.chars().next()?;
        let at = units.find(unit)?;
        // A fraction is of the last part only.
        if fraction {
            return None;
        }
        let (whole, part) = number.split_once(['.', ',']).map_or((number, None), |(whole, part)| (whole, Some(part)));
        let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
        if !digits(whole) || part.is_some_and(|it| !digits(it)) {
            return None;
        }
        fraction = part.is_some();
        count += 1;
        units = &units[at + 1..];
        text = &rest[unit.len_utf8()..];
    }
    Some((count, fraction))
}

/// Whether a text is a number with a point, exactly as it is written: `-12.50`, `1E+3`.
pub fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (number, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(number, it)| (number, Some(it)));
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let whole = match number.split_once('.') {
        Some((before, after)) => {
            (digits(before) || before.is_empty() && digits(after)) && (digits(after) || after.is_empty())
        }
        None => digits(number),
    };
    whole && exponent.is_none_or(|it| digits(it.strip_prefix(['+', '-']).unwrap_or(it)))
}

/// Whether a text is bytes in base64 (RFC 4648, with padding).
pub fn is_base64(text: &str) -> bool {
    let text = text.as_bytes();
    let padding = text.iter().rev().take(2).take_while(|it| **it == b'=').count();
    let plain = |it: &u8| it.is_ascii_alphanumeric() || b"+/".contains(it);
    text.len().is_multiple_of(4) && text[..text.len() - padding].iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is: fn(&str) -> bool, yes: &[&str], no: &[&str]) {
        yes.iter().for_each(|it| assert!(is(it), "`{it}` is one"));
        no.iter().for_each(|it| assert!(!is(it), "`{it}` is none"));
    }

    #[test]
    fn dates_and_times_may_be_local() {
        let yes =
            ["2026-02-28T10:00:00Z", "2026-02-28T10:00:00+01:00", "2026-02-28T10:00:00.123456", "2026-02-28 10:00:00"];
        let no =
            ["2026-02-30T10:00:00", "2026-02-28", "tomorrow", "2026-02-28T25:00:00", "", "2026-02-28T10:00:00Z[UTC]"];
        check(is_date_time, &yes, &no);
        check(is_time, &["10:00:00", "10:00:00.5", "10:00:00Z", "23:59:59+02:00"], &["24:01:00", "10", "noon", ""]);
    }

    #[test]
    fn durations_may_have_a_sign_and_a_fraction() {
        let yes = ["P1D", "-P1D", "P1DT2H3.5S", "PT0S", "P2W", "P1Y2M3DT4H5M6S", "PT0,5H", "PT36H"];
        let no =
            ["", "P", "PT", "P1", "1D", "P1DT", "PT1S2M", "PT1.5H3M", "P1.5DT1H", "P1H", "two hours", "PT1.S", "P-1D"];
        check(is_duration, &yes, &no);
    }

    #[test]
    fn decimals_are_written_in_digits() {
        let yes = ["0", "-12.50", "+1", "1E+3", ".5", "5.", "123456789012345678901234567890.1"];
        check(is_decimal, &yes, &["", "-", ".", "1,5", "NaN", "Infinity", "1e", "0x1", " 1"]);
    }

    #[test]
    fn base64_has_its_padding() {
        check(is_base64, &["", "AA==", "AAA=", "AAAA", "+/+/"], &["A", "AA", "A===", "AA=A", "a-_b", "AAA =", "===="]);
    }
}
