//! Moments as operators write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A moment (RFC 3339), or a date (`YYYY-MM-DD`), which stands for its midnight in UTC.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    if text.len() == "2026-11-22".len() {
        let midnight = text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?;
        return Some(midnight.timestamp());
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight() {
        let at = |text: &str| moment(text).map(|moment| moment.to_string());
        assert_eq!(at("2026-11-22").as_deref(), Some("2026-11-22T00:00:00Z"));
        assert_eq!(at("2026-11-22T10:00:00+01:00").as_deref(), Some("2026-11-22T09:00:00Z"));
        for wrong in ["", "yesterday", "2026-11-31", "2026-11-22T10:00:00", "10:00"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
