//! Durations, sizes and shares as people write them.

use proc_macro2::Span;
use syn::{Error, Expr, ExprLit, Lit, Result};

const DAY_MS: u64 = 86_400_000;

/// The longest wait before a retry that a host accepts.
pub(crate) const DELAY_MAX_MS: u64 = 30 * DAY_MS;

/// Returns the milliseconds that a text such as `"1h30m"` means.
pub(crate) fn duration(expression: &Expr) -> Result<u64> {
    let Some((text, span)) = text(expression) else {
        return Err(Error::new_spanned(
            expression,
            "expected a duration with its unit in quotes, such as \"30s\" or \"5m\"",
        ));
    };
    parse_duration(&text).ok_or_else(|| {
        Error::new(
            span,
            format!(
                "`{text}` is not a duration; write a number and a unit (ms, s, m, h or d), \
                 such as \"5m\" or \"1h30m\""
            ),
        )
    })
}

/// Returns the milliseconds of a wait before a retry.
pub(crate) fn delay(expression: &Expr) -> Result<u64> {
    let milliseconds = duration(expression)?;
    if milliseconds > DELAY_MAX_MS {
        return Err(Error::new_spanned(expression, "a delay is at most 30 days, \"30d\""));
    }
    Ok(milliseconds)
}

fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => DAY_MS,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// Returns the bytes that a text such as `"64MiB"` means.
pub(crate) fn size(expression: &Expr) -> Result<u64> {
    let parsed = text(expression).and_then(|(text, _)| parse_size(&text));
    parsed.ok_or_else(|| {
        Error::new_spanned(expression, "expected a size with its unit (KiB, MiB or GiB) in quotes, such as \"64MiB\"")
    })
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Returns a number between `min` and `max`, in thousandths.
pub(crate) fn permille(expression: &Expr, min: f64, max: f64) -> Result<u32> {
    let number = match expression {
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => number.base10_parse::<f64>().ok(),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<f64>().ok(),
        _ => None,
    };
    match number {
        Some(number) if (min..=max).contains(&number) => Ok((number * 1000.0).round() as u32),
        _ => {
            let message = format!("expected a number from {min:?} to {max:?}");
            Err(Error::new_spanned(expression, message))
        }
    }
}

/// Returns the text of a string literal and where it stands.
pub(crate) fn text(expression: &Expr) -> Option<(String, Span)> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some((text.value(), text.span())),
        _ => None,
    }
}

/// Returns what is in the invisible brackets that a `macro_rules` puts around its arguments.
pub(crate) fn without_group(expression: Expr) -> Expr {
    match expression {
        Expr::Group(group) => without_group(*group.expr),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Some(250));
        assert_eq!(parse_duration("5m"), Some(300_000));
        assert_eq!(parse_duration("1h30m"), Some(5_400_000));
        assert_eq!(parse_duration("1d 2h"), Some(93_600_000));
        assert_eq!(parse_duration("0s"), Some(0));
        for wrong in ["", "5", "m", "5 minutess", "1.5h", "-1s", "99999999999999999999s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("1 GiB"), Some(1 << 30));
        for wrong in ["64", "64MB", "MiB", "-1MiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
