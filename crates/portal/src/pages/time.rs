//! Times, as people read them.

use jiff::Timestamp;
use maud::{Markup, html};

/// A time, and how long ago that is.
pub(super) fn at(time: Timestamp) -> Markup {
    let exact = time.strftime("%Y-%m-%d %H:%M UTC").to_string();
    html! {
        time.keep datetime=(time) title=(exact) { (ago(time, Timestamp::now())) }
    }
}

fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - time.as_second();
    match seconds {
        ..60 => "just now".into(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "yesterday".into(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_what_it_is_counted_in() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let told = |seconds: i64| ago(Timestamp::from_second(1_000_000 - seconds).unwrap(), now);
        assert_eq!(told(-5), "just now");
        assert_eq!(told(59), "just now");
        assert_eq!(told(60), "1 min ago");
        assert_eq!(told(7_300), "2 h ago");
        assert_eq!(told(90_000), "yesterday");
        assert_eq!(told(172_800), "2 days ago");
    }
}
