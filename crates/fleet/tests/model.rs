//! What is taken of a cluster, and what is not.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fleet::model::{ClusterSpec, authority, endpoint_problem};

const ONE: &str = include_str!("one-ca.pem");
const OTHER: &str = include_str!("other-ca.pem");

fn section(label: &str) -> String {
    format!("-----BEGIN {label}-----\nbm9uZQ==\n-----END {label}-----\n")
}

fn refused(given: &str) -> String {
    authority(given, "here").unwrap_err().message
}

#[test]
fn the_same_certificates_are_the_same_text() {
    let kept = authority(ONE, "here").unwrap();
    assert_eq!(STANDARD.decode(&kept).unwrap(), ONE.as_bytes());
    assert_eq!(authority(&kept, "here").unwrap(), kept);
    let wordy = format!(
        "Subject: CN=one-ca\r\n\r\n{}\n\n",
        ONE.replace('\n', "\r\n")
    );
    assert_eq!(authority(&wordy, "here").unwrap(), kept);
    assert_eq!(authority(&STANDARD.encode(&wordy), "here").unwrap(), kept);
    let in_lines = format!("{}\n{}", &kept[..76], &kept[76..]);
    assert_eq!(authority(&in_lines, "here").unwrap(), kept);
    let both = authority(&format!("{ONE}{OTHER}"), "here").unwrap();
    let both = STANDARD.decode(both).unwrap();
    assert_eq!(both, format!("{ONE}{OTHER}").as_bytes());
}

#[test]
fn what_is_no_certificate_is_refused() {
    for nothing in ["", "  \n", "bm9uZQ==", "not base64!", "MIIBAA=="] {
        assert!(refused(nothing).contains("neither PEM"), "{nothing:?}");
    }
    let cut = ONE.lines().take(3).collect::<Vec<_>>().join("\n");
    assert!(refused(&cut).contains("no PEM"), "{}", refused(&cut));
    let garbage = section("CERTIFICATE");
    assert!(refused(&garbage).contains("certificate 1"));
    let second = refused(&format!("{ONE}{garbage}"));
    assert!(second.contains("certificate 2"), "{second}");
    assert!(refused(&"a".repeat(256 * 1024 + 1)).contains("longer"));
}

#[test]
fn what_stands_beside_certificates_is_refused_and_not_repeated() {
    for label in [
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "X509 CRL",
    ] {
        for given in [section(label), format!("{ONE}{}", section(label))] {
            let problem = authority(&given, "here").unwrap_err();
            assert!(
                problem.message.contains("more than"),
                "{label}: {problem:?}"
            );
            assert!(problem.remedy.unwrap().contains("replaced"));
        }
    }
}

fn spec(endpoint: &str) -> ClusterSpec {
    ClusterSpec {
        endpoint: endpoint.into(),
        ..ClusterSpec::default()
    }
}

#[test]
fn tokens_are_sent_to_an_https_address_and_nothing_else() {
    for good in [
        "https://10.0.0.1:6443",
        "https://prod.eks.example",
        "https://rancher.example/k8s/clusters/c-1",
        "https://[::1]:6443",
    ] {
        assert_eq!(endpoint_problem(good, "endpoint"), None, "{good}");
    }
    for bad in [
        "",
        "10.0.0.1:6443",
        "http://10.0.0.1",
        "https://",
        "https://me:secret@prod",
        "https://prod?a=b",
        "https://prod#a",
        " https://prod",
        "https://pr\nod",
    ] {
        assert!(endpoint_problem(bad, "endpoint").is_some(), "{bad:?}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let wrong = ClusterSpec {
        certificate_authority_data: Some("none".into()),
        roles: ["Prod".to_owned()].into(),
        parameters: [("a b".to_owned(), String::new())].into(),
        region: Some("x".repeat(1001)),
        ..spec("http://prod")
    };
    let problems = wrong.checked("spec").unwrap_err();
    let places: Vec<_> = problems.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(
        places,
        [
            "spec.endpoint",
            "spec.certificateAuthorityData",
            "spec.region",
            "spec.roles",
            "spec.parameters"
        ]
    );
    assert!(problems.iter().all(|one| one.remedy.is_some()));
    assert!(spec("https://prod").checked("spec").is_ok());
}

#[test]
fn no_text_controls_the_terminal_that_shows_it() {
    let with = |description: &str, region: &str, value: &str| {
        let spec = ClusterSpec {
            description: description.into(),
            region: Some(region.into()),
            parameters: [("id".to_owned(), value.to_owned())].into(),
            ..spec("https://prod")
        };
        let problems = spec.checked("spec").err().unwrap_or_default();
        problems.into_iter().map(|one| one.path).collect::<Vec<_>>()
    };
    assert_eq!(with("Zürich", "Zürich", "fs-1"), Vec::<String>::new());
    for bad in ["\u{1b}[2J", "\0", "\r", "\u{200f}", "\u{202e}", "\u{2066}"] {
        let bad = format!("a{bad}b");
        assert_eq!(
            with(&bad, &bad, &bad),
            ["spec.description", "spec.region", "spec.parameters.id"],
            "{bad:?}"
        );
    }
    // Only what is shown apart has paragraphs.
    let lines = "one\n\ttwo\n";
    assert_eq!(
        with(lines, lines, lines),
        ["spec.region", "spec.parameters.id"]
    );
}
