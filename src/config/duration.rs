//! Lengths of time as people write them.

use std::time::Duration;

/// Letters and what they stand for, in seconds.
const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', 24 * 3600), ('w', 7 * 24 * 3600)];
/// A hundred years: what is longer is a slip of the finger.
const LONGEST: u64 = 36_500 * 24 * 3600;

/// Reads a number with a unit: `45s`, `10m`, `12h`, `30d`, `2w`; `0` needs none. Says what is wrong otherwise.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time such as \"30d\" (s, m, h, d, w), nor \"0\"");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (_, seconds) = UNITS.iter().find(|(letter, _)| text.ends_with(*letter)).ok_or_else(wrong)?;
    let number = &text[..text.len() - 1];
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*seconds));
    match total.filter(|total| *total <= LONGEST) {
        Some(total) => Ok(Duration::from_secs(total)),
        None => Err(format!("{text:?} is more than a hundred years")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_are_a_length_of_time() {
        let seconds = |text: &str| parse_duration(text).map(|length| length.as_secs());
        for (text, expected) in
            [("0", 0), ("0d", 0), ("45s", 45), ("10m", 600), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "30", "d", "-1d", "+1d", "1.5d", "30 d", "1D", "1y", "ü", "99999999999999999999d", "40000d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
