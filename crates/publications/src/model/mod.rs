//! What an event from outside may say: the envelope, with its rules. No I/O.

mod attribute;
pub(crate) mod source;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kernel::{NewEvent, Outcome, Problem};
use serde_json::{Map, Value};
use uuid::Uuid;

use self::attribute::Reader;

/// Events in one request at the most.
pub const MOST: usize = 100;
/// An event in JSON may have so many bytes: what every intermediary passes on, by CloudEvents 1.0 ("size
/// limits").
pub const LARGEST: usize = 64 * 1024;
/// So deep data may be: whoever reads the log holds it some levels deeper, and JSON readers end at 128.
const DEEPEST: usize = 64;
/// Clocks differ; what happens later than this has not happened.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// The words by which the types of the platform's own events begin, after their prefix: people write those
/// types without it, `deployment.*` to whoever subscribes and `--type deployment` to whoever reads. So nobody
/// else's begin so. All that docs/events.md names, which names all.
pub const WORDS: [&str; 31] = [
    "authorization",
    "client",
    "cluster",
    "deploy-credential",
    "deployment",
    "device",
    "environment",
    "environment-role",
    "group",
    "integration",
    "login",
    "member",
    "namespace",
    "person",
    "platform",
    "remnant",
    "resource",
    "resource-definition",
    "resource-instance",
    "secret",
    "service-account",
    "session",
    "signing-key",
    "starter-kit",
    "subscription",
    "team",
    "tool",
    "upstream",
    "user",
    "workload",
    "workload-trust",
];

/// An event from outside that is as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What happened.
    pub kind: String,
    /// Who publishes it.
    pub source: String,
    /// Unique with the source.
    pub id: String,
    /// What it is about; may be empty.
    pub subject: String,
    /// The team that it says; none: it follows from the caller.
    pub team: Option<String>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// Passed or failed.
    pub outcome: Option<Outcome>,
    /// The piece of work that it says.
    pub correlation: Option<Uuid>,
    /// The attributes beside these.
    pub attributes: BTreeMap<String, Value>,
    /// More.
    pub data: Value,
    /// Bytes of it in JSON.
    pub size: usize,
}

impl Draft {
    /// Reads an event in CloudEvents' JSON format that stands at `place` in its request, at the time `now`;
    /// else all that is wrong with it.
    pub fn read(
        envelope: Map<String, Value>,
        place: &str,
        now: Timestamp,
    ) -> Result<Self, Vec<Problem>> {
        // No more is said of what is too large: that may be long.
        let size = serde_json::to_vec(&envelope).map_or(usize::MAX, |json| json.len());
        if size > LARGEST {
            let message = format!("the event has {size} bytes; {LARGEST} are the most");
            return Err(vec![Problem::new("event/size", place, message).remedy(
                "keep what is large where it is, and send its address in `links`",
            )]);
        }
        let mut reader = Reader::new(envelope, place);
        reader.version();
        let draft = Self {
            kind: reader.required("type", reverse_dns),
            source: reader.required("source", source::check),
            id: reader.required("id", |text| longest(text, 256)),
            subject: reader
                .optional("subject", |text| longest(text, 512))
                .unwrap_or_default(),
            team: reader.optional("team", |text| longest(text, 64)),
            time: reader
                .optional("time", |text| happened(text, now))
                .and_then(|time| time.parse().ok()),
            outcome: reader.optional("outcome", |text| match text {
                "pass" | "fail" => Ok(()),
                _ => Err("an outcome is `pass` or `fail`, or is left out".into()),
            })
            .map(|text| if text == "pass" { Outcome::Pass } else { Outcome::Fail }),
            correlation: reader
                .optional("correlation", |text| {
                    let wrong = "a correlation is a UUID: that of the work that it belongs to, or one that is drawn at its beginning";
                    Uuid::try_parse(text).map(drop).map_err(|_| wrong.into())
                })
                .and_then(|text| text.parse().ok()),
            data: reader.data(DEEPEST),
            attributes: reader.attributes(),
            size,
        };
        reader.done(draft)
    }
}

/// A name under a domain, turned around: at least three words, such as `com.example.finished`. Those under
/// the platform's own domain are the platform's, however they are written, and so are those that read as its
/// own without their prefix.
fn reverse_dns(text: &str) -> Result<(), String> {
    longest(text, 120)?;
    let good = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !word.is_empty() && word.chars().all(plain)
    };
    if !text.split('.').all(good) {
        return Err(
            "the words of a type are of letters, digits, `-` and `_`, with one dot between each two: `com.example.scan.finished`"
                .into(),
        );
    }
    if text.split('.').count() < 3 {
        return Err(
            "a type is a name under a domain of yours, turned around, of three words or more with dots between them: `com.example.scan.finished`"
                .into(),
        );
    }
    let lower = text.to_ascii_lowercase();
    if lower.starts_with(NewEvent::PREFIX) || lower == NewEvent::PREFIX.trim_end_matches('.') {
        return Err(format!(
            "types that begin with `{}` are the platform's own: nobody else publishes them; use a name under a domain of yours",
            NewEvent::PREFIX
        ));
    }
    let first = lower.split('.').next().unwrap_or_default();
    if WORDS.contains(&first) {
        return Err(format!(
            "types that begin with `{first}.` are the platform's own, as people write them without `{}`: begin with another word, such as a domain of yours, turned around",
            NewEvent::PREFIX
        ));
    }
    Ok(())
}

fn happened(text: &str, now: Timestamp) -> Result<(), String> {
    let time: Timestamp = text
        .parse()
        .map_err(|_| "a time is one of RFC 3339: `2027-01-31T08:00:00Z`".to_owned())?;
    if time > now.saturating_add(AHEAD).unwrap_or(now) {
        return Err(format!(
            "it lies ahead: by the platform's clock it is {now}. Set the publisher's clock, or leave `time` out"
        ));
    }
    Ok(())
}

fn longest(text: &str, most: usize) -> Result<(), String> {
    let length = text.chars().count();
    if length > most {
        return Err(format!("it has {length} characters; {most} are the most"));
    }
    Ok(())
}
