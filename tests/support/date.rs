//! Dates as IMAP writes them, in UTC.

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 as ` 1-Feb-2003 04:05:06 +0000`.
pub fn internal(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let rest = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{day:2}-{}-{year:04} {hour:02}:{minute:02}:{second:02} +0000", MONTHS[month - 1])
}

/// Seconds since 1970 of ` 1-Feb-2003 04:05:06 +0100`.
pub fn parse_internal(text: &str) -> i64 {
    let fields: Vec<&str> = text.trim().split([' ', '-', ':']).filter(|field| !field.is_empty()).collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.trim_start_matches('+').parse::<i64>().ok());
    let month = MONTHS.iter().position(|month| fields.get(1) == Some(month));
    let (Some(day), Some(month), Some(year)) = (number(0), month, number(2)) else { panic!("odd date: {text}") };
    let (Some(hour), Some(minute), Some(second)) = (number(3), number(4), number(5)) else {
        panic!("odd date: {text}")
    };
    let zone = number(6).unwrap_or_else(|| panic!("odd date: {text}"));
    let zone = (zone / 100 * 60 + zone % 100) * 60 * if text.trim().rfind('-') > text.rfind(':') { -1 } else { 1 };
    days(year, month as i64 + 1, day) * 86_400 + hour * 3600 + minute * 60 + second - zone
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month from 1, and day of so many days since 1970.
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month as usize, day)
}
