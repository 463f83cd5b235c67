//! Moments as people write them.

use time::OffsetDateTime;

/// Seconds since 1970 as date and time (UTC).
pub(crate) fn in_utc(seconds: u64) -> String {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.map_or_else(
        || format!("{seconds} s after 1970"),
        |moment| {
            let (date, time) = (moment.date(), moment.time());
            format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}Z",
                date.year(),
                u8::from(date.month()),
                date.day(),
                time.hour(),
                time.minute(),
                time.second()
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_by_people() {
        assert_eq!(in_utc(1_800_000_000), "2027-01-15 08:00:00Z");
        assert_eq!(in_utc(u64::MAX), "18446744073709551615 s after 1970");
    }
}
