//! INTERNALDATE (`date-time` of RFC 3501 section 9).

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Reads ` 1-Jan-2024 10:11:12 +0100` into seconds since 1970; months in any case, one-digit days, a missing zone
/// (UTC then). `None` where it makes no sense, before 1970 too: no mail is older, and a year of 0102 is a mistake.
pub fn parse_internal_date(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let mut date = words.next()?.splitn(3, '-');
    let day = digits(date.next()?, 2)?;
    let month = date.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year = digits(date.next()?, 4)?;
    let mut time = words.next()?.splitn(3, ':');
    let hour = digits(time.next()?, 2)?;
    let minute = digits(time.next()?, 2)?;
    let second = time.next().map_or(Some(0), |second| digits(second, 2))?;
    let zone = words.next().map_or(Some(0), zone)?;
    if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 || year < 1970 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone;
    (seconds >= 0).then_some(seconds)
}

fn digits(text: &str, max: usize) -> Option<i64> {
    let fits = !text.is_empty() && text.len() <= max && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Seconds east of UTC. A zone that is no number counts as UTC.
fn zone(text: &str) -> Option<i64> {
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return Some(0),
    };
    let number = digits(rest, 4)?;
    Some(sign * (number / 100 * 3600 + number % 100 * 60))
}

/// Writes seconds since 1970 as ` 1-Jan-2024 09:11:12 +0000`, without the quotes. Years are kept within 1970 to 9999.
pub fn internal_date(seconds: i64) -> String {
    let seconds = seconds.clamp(0, 253_402_300_799);
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let rest = seconds % 86_400;
    let name = MONTHS[(month - 1) as usize];
    let (initial, others) = name.split_at(1);
    let initial = initial.to_ascii_uppercase();
    format!("{day:2}-{initial}{others}-{year:04} {:02}:{:02}:{:02} +0000", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month from 1, day from 1.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
