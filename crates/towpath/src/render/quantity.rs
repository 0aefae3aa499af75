//! Times, amounts and addresses, as people say them.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, Unit};

/// Reads `8h`, `90s`, `1h 30m`, `2d`: at least a second.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let hint = "write it as 90s, 30m, 8h or 2d";
    let span: Span = text
        .parse()
        .map_err(|_| format!("`{text}` is not a length of time: {hint}"))?;
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("`{text}` is not a fixed length of time: {hint}"))?;
    if duration < SignedDuration::from_secs(1) {
        return Err(format!("`{text}` is too short: {hint}"));
    }
    duration
        .try_into()
        .map_err(|_| format!("`{text}` is not a length of time: {hint}"))
}

/// Reads where something listens: an address of this machine, and a port.
pub(crate) fn parse_address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse()
        .map_err(|_| "write it as ADDRESS:PORT: 127.0.0.1:7070, or [::1]:7070".to_owned())
}

/// Reads a whole number.
pub(crate) fn parse_whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "write a whole number in digits, such as 20".to_owned())
}

/// Reads the address of a machine.
pub(crate) fn parse_ip(text: &str) -> Result<std::net::IpAddr, String> {
    text.parse()
        .map_err(|_| "write an IP address, such as 10.1.0.7 or fd00::7".to_owned())
}

/// Reads what joins the events of one piece of work.
pub(crate) fn parse_correlation(text: &str) -> Result<uuid::Uuid, String> {
    text.parse().map_err(|_| {
        "write it as `towpath events -o json` shows it in `correlation`, such as \
         01890000-0000-7000-8000-0000000000cc"
            .to_owned()
    })
}

/// Reads a moment.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "write a time with its zone, such as 2027-01-31T08:00:00Z".to_owned())
}

/// A time, or how long ago it was.
pub(crate) fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = parse_duration(text).map_err(|_| {
        format!(
            "`{text}` is neither a time nor a length of time: write it as 2027-01-31T08:00:00Z, or as 90m, 8h or 2d ago"
        )
    })?;
    Timestamp::now()
        .checked_sub(ago)
        .map_err(|_| format!("`{text}` ago is before all times"))
}

/// How long ago `then` was at `now`, in its greatest unit: `5m`, `3h`, `2d`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    coarse(now.duration_since(then))
}

/// How long from `now` to `then`, to the nearest: `in 5m`, or `now`. What was given eight hours a moment ago has
/// eight, and not seven.
pub(crate) fn until(then: Timestamp, now: Timestamp) -> String {
    let left = then.duration_since(now);
    if left <= SignedDuration::ZERO {
        return "now".into();
    }
    let unit = match left.as_secs() {
        0..60 => 1,
        60..3600 => 60,
        3600..172_800 => 3600,
        _ => 86_400,
    };
    let half = SignedDuration::from_millis(unit * 500);
    format!("in {}", coarse(left.saturating_add(half)))
}

/// A length of time in its greatest unit: `8h`.
pub(crate) fn coarse(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long something took, to the tenth of a second where that counts: `0.4s`, `1m 12s`, `3h 5m`, `4d 2h`.
pub(crate) fn took(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A time of day in the person's own time zone.
pub(crate) fn local(time: Timestamp) -> String {
    let zoned = time.to_zoned(jiff::tz::TimeZone::system());
    let rounded = zoned.round(Unit::Second).unwrap_or(zoned);
    rounded.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// When something ends, and how far off that is; where it has ended, when.
pub(crate) fn end(at: Timestamp, now: Timestamp) -> String {
    if at <= now {
        return local(at);
    }
    format!("{} ({})", local(at), until(at, now))
}

/// CPU in cores: `0.25`, `2`.
pub(crate) fn cores(millis: u64) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Memory in the largest unit that leaves at least one: `1.5 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let text = format!("{amount:.1}");
    format!("{} {}", text.trim_end_matches(".0"), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let seconds = |text: &str| parse_duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("2d"), Ok(172_800));
        for bad in ["", "8", "eight hours", "-1h", "0s", "1mo"] {
            let error = seconds(bad).expect_err(bad);
            assert!(error.contains("8h"), "{error}");
        }
    }

    #[test]
    fn what_is_left_is_told_to_the_nearest() {
        let now: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
        let left = |seconds| until(now + SignedDuration::from_secs(seconds), now);
        assert_eq!(left(8 * 3600 - 1), "in 8h");
        assert_eq!(left(7 * 3600 + 1200), "in 7h");
        assert_eq!(left(3599), "in 1h");
        assert_eq!(left(2 * 86_400 - 1), "in 2d");
        assert_eq!(left(90), "in 2m");
        assert_eq!(left(5), "in 5s");
        assert_eq!(left(0), "now");
    }

    #[test]
    fn amounts_are_told_in_their_own_units() {
        assert_eq!(cores(250), "0.25");
        assert_eq!(cores(2000), "2");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536 << 20), "1.5 GiB");
        assert_eq!(took(std::time::Duration::from_millis(72_400)), "1m 12s");
    }
}
