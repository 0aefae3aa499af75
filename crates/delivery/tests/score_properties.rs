//! The parser takes anything, and what it accepts is stable.

use proptest::prelude::*;
use towpath_delivery::score::{self, Document, Limits, Source};

fn parse(bytes: impl Into<Vec<u8>>) -> Result<Vec<Document>, Vec<kernel::Problem>> {
    let source = Source {
        name: "score.yaml".into(),
        bytes: bytes.into(),
    };
    score::parse(&source, &Limits::default())
}

/// Texts that look like YAML, far more often than arbitrary bytes do.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("apiVersion: score.dev/v1b1\n"),
        Just("metadata: "),
        Just("  name: web\n"),
        Just("containers:\n"),
        Just("  image: x\n"),
        Just("files:\n"),
        Just("    - target: /x\n"),
        Just("before: {web: {ready: started}}\n"),
        Just("params: {a: \"${resources.a.b}\"}\n"),
        Just("&a "),
        Just("*a "),
        Just("<<: "),
        Just("- "),
        Just("? "),
        Just(": "),
        Just("[{"),
        Just("}]"),
        Just("|\n"),
        Just("\"\n"),
        Just("---\n"),
        Just("  "),
        Just("\t"),
        Just("ü"),
        Just("!!str "),
        Just("${metadata.name"),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let Err(problems) = parse(bytes) else {
        return;
    };
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(problem.remedy.is_some(), "{problem:?}");
        if let Some(at) = problem.location {
            assert!(at.line >= 1 && at.column >= 1);
            assert!(at.line <= text.lines().count() + 1, "{at:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn what_looks_like_yaml(text in yaml_like()) {
        check(text.as_bytes());
    }

    #[test]
    fn a_workload_written_as_json_is_read_as_the_same(
        name in "[a-z][a-z0-9-]{0,10}[a-z0-9]",
        variables in prop::collection::btree_map("[A-Z_]{1,8}", "[^\0${}]{0,20}", 0..5),
        port in 1..=u16::MAX,
        params in prop::collection::btree_map("[a-z]{1,5}", any::<i64>(), 0..4),
    ) {
        let workload = serde_json::json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": {"name": name, "extra": {"deep": [1, 2.5, null, true]}},
            "service": {"ports": {"web": {"port": port}}},
            "containers": {"main": {"image": "example/main:1", "variables": variables}},
            "resources": {"db": {"type": "postgres", "params": params}},
        });
        let first = score::validate(&workload).unwrap();
        let json = serde_json::to_value(&first).unwrap();
        prop_assert_eq!(&score::validate(&json).unwrap(), &first);
        // JSON is YAML: the other way in gives the same.
        let read = parse(json.to_string()).unwrap().remove(0);
        prop_assert_eq!(read.workload, first);
    }
}
