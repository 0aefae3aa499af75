//! What is not as it should be is refused, with the rule, the place and what to do; nothing of it is kept.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Database, STRUCTURED, scan};

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_name() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("a{n}"), json!(n))).collect();
    let cases = [
        (json!({ "specversion": null }), "event/specversion"),
        (json!({ "specversion": "0.3" }), "event/specversion"),
        (json!({ "id": null }), "event/id"),
        (json!({ "id": "" }), "event/id"),
        (json!({ "id": " " }), "event/id"),
        (json!({ "id": 7 }), "event/id"),
        (json!({ "id": "a\u{0}b" }), "event/id"),
        (json!({ "id": "x".repeat(257) }), "event/id"),
        (json!({ "source": null }), "event/source"),
        (json!({ "source": "not a uri" }), "event/source"),
        (json!({ "source": "/towpath/0199d9a8" }), "event/source"),
        (json!({ "source": "//Towpath/0199d9a8" }), "event/source"),
        (
            json!({ "source": "a/../%74owpath/0199d9a8" }),
            "event/source",
        ),
        (json!({ "source": "/towpath%2F0199" }), "event/source"),
        (json!({ "source": "/%2574owpath/0199" }), "event/source"),
        (json!({ "source": "/tow%C2%ADpath/1" }), "event/source"),
        (json!({ "source": "/towpath;a/0199" }), "event/source"),
        (json!({ "source": "//TOWPATH./1" }), "event/source"),
        (json!({ "source": "1:/towpath/x" }), "event/source"),
        (json!({ "source": "https:/towpath/x" }), "event/source"),
        (json!({ "type": null }), "event/type"),
        (json!({ "type": "finished" }), "event/type"),
        (json!({ "type": "deployment.succeeded" }), "event/type"),
        (json!({ "type": "com.example." }), "event/type"),
        (json!({ "type": "com.example.a b" }), "event/type"),
        (json!({ "type": "com.example.名前" }), "event/type"),
        (
            json!({ "type": format!("com.example.{}", "x".repeat(120)) }),
            "event/type",
        ),
        (
            json!({ "type": "dev.towpath.deployment.succeeded" }),
            "event/type",
        ),
        (
            json!({ "type": "DEV.Towpath.deployment.succeeded" }),
            "event/type",
        ),
        (json!({ "type": "deployment.succeeded.prod" }), "event/type"),
        (json!({ "type": "Team.acme.scan" }), "event/type"),
        (json!({ "subject": "" }), "event/subject"),
        (json!({ "subject": "a\nb" }), "event/subject"),
        (json!({ "subject": "\u{1b}[2J" }), "event/subject"),
        (json!({ "subject": "\u{202e}live" }), "event/subject"),
        (json!({ "subject": "x".repeat(513) }), "event/subject"),
        (json!({ "time": "yesterday" }), "event/time"),
        (json!({ "time": "2999-01-01T00:00:00Z" }), "event/time"),
        (json!({ "time": 1_767_225_600 }), "event/time"),
        (json!({ "outcome": "PASS" }), "event/outcome"),
        (json!({ "outcome": true }), "event/outcome"),
        (json!({ "correlation": "run-7" }), "event/correlation"),
        (json!({ "team": ["pay"] }), "event/team"),
        (json!({ "datacontenttype": "text/xml" }), "event/attribute"),
        (json!({ "data_base64": "AAAA" }), "event/attribute"),
        (json!({ "data": nested(65) }), "event/data"),
        (json!({ "data": "x".repeat(64 * 1024) }), "event/size"),
        (json!({ "links": "javascript:alert(1)" }), "event/attribute"),
        (json!({ "links": ["https://a.example"] }), "event/attribute"),
        (
            json!({ "links": "https://a.example ".repeat(11) }),
            "event/attribute",
        ),
        (json!({ "Cluster": "eu" }), "event/attribute"),
        (json!({ "my-cluster": "eu" }), "event/attribute"),
        (json!({ "x".repeat(41): "eu" }), "event/attribute"),
        (json!({ "cluster": {} }), "event/attribute"),
        (json!({ "cluster": 1.5 }), "event/attribute"),
        (json!({ "cluster": 3_000_000_000_u64 }), "event/attribute"),
        (json!({ "cluster": "x".repeat(1025) }), "event/attribute"),
        (json!({ "seq": 1 }), "event/attribute"),
        (json!({ "actor": "local:ada" }), "event/attribute"),
        (Value::Object(many), "event/attribute"),
    ];
    for (with, rule) in cases {
        let answer = replica.publish("pay", &scan(with.clone())).await;
        let told = &answer.body;
        assert_eq!(answer.status, 422, "{with}");
        assert_eq!(told["problems"][0]["rule"], rule, "{with}: {told}");
        let detail = told["detail"].as_str().unwrap();
        assert!(
            detail.chars().count() < 500 && !detail.contains('\u{1b}'),
            "{detail}"
        );
    }
    let reserved = scan(json!({ "type": "dev.towpath.deployment.succeeded" }));
    let told = replica.publish("pay", &reserved).await.body;
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .contains("the platform's own"),
        "{told}"
    );
    assert!(replica.seen("admin", "").await.is_empty());
}

#[tokio::test]
async fn what_is_no_event_at_all_is_refused() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "null",
        "1",
        "\"x\"",
        "[]",
        "[[]]",
        "{",
        "{}",
        "{\"a\":1e999}",
        "\u{feff}{}",
        "{}{}",
        &deep,
    ] {
        let headers = [("content-type", STRUCTURED)];
        let answer = replica.post("pay", &headers, body.to_owned()).await;
        assert_eq!(answer.status, 422, "{body:.20}: {}", answer.body);
    }
    let invalid = b"{\"id\": \"\xff\"}".to_vec();
    let answer = replica
        .post("pay", &[("content-type", STRUCTURED)], invalid)
        .await;
    assert_eq!(answer.status, 422);
    // Attributes as headers: none twice, and none that is no text.
    for (headers, why) in [
        ([("ce-id", "1"), ("ce-id", "2")], "there twice"),
        ([("ce-id", "%ff"), ("ce-a", "b")], "no text in UTF-8"),
        ([("ce-datacontenttype", "a/b"), ("ce-a", "b")], "is none"),
    ] {
        let answer = replica.post("pay", &headers, "{}").await;
        assert_eq!(answer.status, 422);
        assert!(
            answer.body["detail"].as_str().unwrap().contains(why),
            "{}",
            answer.body
        );
    }
    assert!(replica.seen("admin", "").await.is_empty());
}

#[tokio::test]
async fn what_is_published_can_be_read() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    let nested = (0..64).fold(
        json!("NUL \u{0}, ESC \u{1b}"),
        |inner, _| json!({ "in": inner }),
    );
    let event = scan(json!({
        "data": nested, "id": "a\"b\\c", "type": "io.Acme_Corp.scan-2.0", "subject": "Workload/dev/web",
        "time": "1969-12-31T23:59:59Z", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }));
    let answer = replica.publish("pay", &event).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = replica.seen("pay", "").await.remove(0);
    for (name, value) in event.as_object().unwrap() {
        assert_eq!(&seen[name], value, "{name}");
    }
    let page = json!({ "items": [seen] }).to_string();
    let typed = serde_json::from_str::<Value>(&page).unwrap()["items"][0].clone();
    serde_json::from_value::<kernel::Event>(typed).unwrap();
}

#[tokio::test]
async fn what_is_longer_than_any_batch_is_not_read() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    let headers = [("content-type", STRUCTURED)];
    let padded = |blanks: usize| scan(json!({})).to_string() + &" ".repeat(blanks);
    let taken = replica.post("pay", &headers, padded(7_000_000)).await;
    assert_eq!(taken.status, 200, "{}", taken.body);
    let refused = replica.post("pay", &headers, padded(9_000_000)).await;
    assert_eq!(refused.status, 413, "{}", refused.body);
}

/// The words by which the guide's types begin, as the house's own test has it name every type.
#[test]
fn nobodys_types_begin_as_the_platforms_do() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let named = guide.lines().filter_map(|line| {
        let (kind, _) = line.strip_prefix("| `")?.split_once('`')?;
        Some(kind.split_once('.')?.0)
    });
    let named: std::collections::BTreeSet<_> = named.collect();
    let words: Vec<_> = named.into_iter().collect();
    assert_eq!(words, publications::model::WORDS);
}

/// What the envelope gives a meaning, and what the platform says alone.
static NAMES: [&str; 19] = [
    "actor",
    "cluster",
    "correlation",
    "data",
    "data_base64",
    "datacontenttype",
    "entry",
    "environment",
    "id",
    "links",
    "outcome",
    "reason",
    "seq",
    "source",
    "specversion",
    "subject",
    "team",
    "time",
    "type",
];

fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(&NAMES[..]).prop_map(str::to_owned);
    prop_oneof![4 => known, 1 => "[a-z]{1,8}|\\PC{0,8}"]
}

/// Anything, and what may be right.
fn value() -> impl Strategy<Value = Value> {
    let right = prop::sample::select(vec![
        json!("1.0"),
        json!("pass"),
        json!("com.acme.scan.finished"),
        json!("dev.towpath.deployment.succeeded"),
        json!("team.acme.scan.finished"),
        json!("/towpath/1"),
        json!("https://ci.acme.example/7"),
        json!("2026-01-02T03:04:05Z"),
        json!("0199d9a8-0000-7000-8000-000000000000"),
        json!("application/json"),
        json!(7),
        json!(true),
        Value::Null,
    ]);
    prop_oneof![
        3 => right,
        1 => "\\PC{0,40}".prop_map(|text| json!(text)),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => "\\PC{0,8}".prop_map(|text| json!({ "a": [text] })),
    ]
}

/// References without a scheme, put together from what leads somewhere; some begin with what is no scheme.
fn reference() -> impl Strategy<Value = String> {
    let pieces = [
        "/",
        "/",
        "//",
        ".",
        "..",
        "towpath",
        "Towpath",
        "%74owpath",
        "%54OWPATH",
        "a",
        ";a",
        "x.example",
        "?",
        "#",
    ];
    let plain = prop::sample::select(pieces.to_vec());
    let misleading = prop::sample::select(&MISLEADING[..]);
    let piece = prop_oneof![20 => plain, 1 => misleading];
    let begins = prop_oneof![8 => Just(""), 1 => Just("1:"), 1 => Just(".:")];
    (begins, prop::collection::vec(piece, 1..10))
        .prop_map(|(begins, pieces)| begins.to_owned() + &pieces.concat())
}

/// Escapes that nobody may use in a reference.
static MISLEADING: [&str; 10] = [
    "%2e", "%2E", "%2f", "%2F", "%5c", "%25", "%3f", "%00", "%20", "%C2%AD",
];

/// Whether a reference is none, or leads elsewhere once its escapes are undone.
fn misleads(reference: &str) -> bool {
    let no_scheme = reference.starts_with("1:") || reference.starts_with(".:");
    no_scheme || MISLEADING.iter().any(|escape| reference.contains(escape))
}

/// Whether a reference without misleading escapes leads to where the platform's own source is: where the first
/// word of its path, or the host that it names, is the platform's.
fn leads_to_us(reference: &str) -> bool {
    let end = reference.find(['?', '#']).unwrap_or(reference.len());
    let plain = reference[..end].to_ascii_lowercase();
    let plain = plain.replace("%74", "t").replace("%54", "t");
    let (host, path) = if plain.starts_with("//") {
        let rest = plain.trim_start_matches('/');
        rest.split_once('/').unwrap_or((rest, ""))
    } else {
        ("", plain.strip_prefix('/').unwrap_or(&plain))
    };
    let mut words = Vec::new();
    for word in path.split('/') {
        match word {
            "." => {}
            ".." => {
                words.pop();
            }
            word => words.push(word),
        }
    }
    let first = words.into_iter().find(|word| !word.is_empty());
    let is_ours = |word: &str| {
        let before = word.split(';').next().unwrap_or_default();
        before.trim_end_matches('.') == "towpath"
    };
    is_ours(host) || first.is_some_and(is_ours)
}

proptest! {
    /// Whatever is sent, what is taken keeps the rules.
    #[test]
    fn anything_may_be_sent(said in prop::collection::vec((name(), value()), 1..4)) {
        let mut event = scan(json!({}));
        for (name, value) in said {
            event[name.as_str()] = value;
        }
        let envelope = event.as_object().unwrap().clone();
        let now = jiff::Timestamp::now();
        if let Ok(draft) = publications::model::Draft::read(envelope, "", now) {
            let kind = draft.kind.to_ascii_lowercase();
            prop_assert!(kind.split('.').count() > 2, "{kind}");
            let first = kind.split('.').next().unwrap();
            prop_assert!(!kind.starts_with("dev.towpath."), "{kind}");
            prop_assert!(!publications::model::WORDS.contains(&first), "{kind}");
            prop_assert!(!draft.source.starts_with("/towpath"), "{}", draft.source);
            prop_assert!(!draft.id.trim().is_empty());
            for (name, value) in &draft.attributes {
                let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                prop_assert!(!name.is_empty() && name.chars().all(good), "{name}");
                prop_assert!(value.is_string() || value.is_number() || value.is_boolean(), "{value}");
                let known = NAMES.contains(&name.as_str());
                prop_assert!(!known || ["cluster", "environment", "links"].contains(&&**name), "{name}");
            }
            // It is what was sent.
            prop_assert_eq!(&json!(draft.kind), &event["type"]);
            prop_assert_eq!(&json!(draft.source), &event["source"]);
            prop_assert_eq!(&draft.data, event.get("data").unwrap_or(&Value::Null));
        }
    }

    /// No reference leads to the platform's own source, and none that plainly leads elsewhere is refused. Not every
    /// text is a host: of those that name one only the first is sure.
    #[test]
    fn a_reference_is_anybodys_where_it_does_not_lead_to_us(reference in reference()) {
        let event = scan(json!({ "source": reference }));
        let envelope = event.as_object().unwrap().clone();
        let read = publications::model::Draft::read(envelope, "", jiff::Timestamp::now());
        if misleads(&reference) || leads_to_us(&reference) {
            prop_assert!(read.is_err(), "taken: {reference}");
        } else if !reference.starts_with("//") {
            prop_assert!(read.is_ok(), "refused: {reference}: {read:?}");
        }
    }
}
