//! What a platform can be asked of a workload with mistakes.

use towpath_delivery::score::{self, Limits, Source};

fn rest(text: &str) -> Option<score::Rest> {
    let source = Source {
        name: "score.yaml".into(),
        bytes: text.into(),
    };
    let input = score::Input {
        files: vec![source],
        ..score::Input::default()
    };
    let drafts = score::examine(&input, &Limits::default()).drafts;
    assert_eq!(drafts.len(), 1);
    drafts[0].rest()
}

#[test]
fn of_a_workload_with_mistakes_the_rest_has_none() {
    let left = rest(
        r#"
apiVersion: score.dev/v1b1
metadata: {name: shop}
containers:
  web:
    image: shop:1
    variables: {DB: "${resources.db.host}", KEY: "${resources.kye.value}"}
  side: {imge: x}
resources:
  db: {type: postgres}
  cash: {typ: redis}
"#,
    )
    .unwrap();
    assert_eq!(
        left.left_out,
        [
            "containers.web.variables.KEY",
            "containers.side.image",
            "containers.side.imge",
            "resources.cash"
        ]
    );
    let workload = left.document.workload;
    let web = &workload.containers["web"];
    assert_eq!(web.variables.keys().collect::<Vec<_>>(), ["DB"]);
    assert_eq!(workload.resources.keys().collect::<Vec<_>>(), ["db"]);

    let left = rest(
        r"
apiVersion: score.dev/v2
metadata: {name: shop}
service: {ports: {www: {port: 0}}}
containers:
  web: {imge: x}
resources:
  db: {type: postgres}
",
    )
    .unwrap();
    assert!(left.left_out.contains(&"service".to_owned()));
    assert!(left.left_out.contains(&"containers.web.image".to_owned()));
    let workload = left.document.workload;
    assert_eq!(workload.containers["web"].image, ".");
    assert_eq!(workload.resources["db"].resource_type, "postgres");
}

#[test]
fn a_mistake_in_a_field_of_a_container_leaves_the_others_in_it() {
    let container = |fields: &str| {
        let text = format!(
            "apiVersion: score.dev/v1b1\nmetadata: {{name: shop}}\ncontainers:\n  web: {{{fields},              variables: {{DB: \"${{resources.db.host}}\"}}}}\nresources:\n  db: {{type: postgres}}\n"
        );
        let mut left = rest(&text).unwrap();
        left.left_out.sort_unstable();
        let web = left.document.workload.containers["web"].clone();
        assert_eq!(web.variables.keys().collect::<Vec<_>>(), ["DB"], "{fields}");
        let out = left.left_out.into_iter();
        let out = out.map(|path| path.replace("containers.web.", ""));
        (web, out.collect::<Vec<_>>())
    };
    let (web, out) = container("imag: shop, command: [serve]");
    assert_eq!(out, ["imag", "image"]);
    assert_eq!(
        (web.image.as_str(), &*web.command),
        (".", &["serve".to_owned()][..])
    );
    let (web, out) = container("image: shop, comand: [serve]");
    assert_eq!(out, ["comand", "image"]);
    assert_eq!(web.image, ".");
    let (web, out) = container("image: shop, command: serve");
    assert_eq!(out, ["command", "image"]);
    assert!(web.command.is_empty());
    let (web, out) = container("image: shop, args: serve");
    assert_eq!((web.image.as_str(), out), ("shop", vec!["args".to_owned()]));
    let (_, out) = container("image: shop, fils: {}");
    assert_eq!(out, ["command", "fils"]);
}

#[test]
fn a_workload_whose_name_is_a_mistake_has_a_rest_by_another() {
    for (metadata, name, out) in [
        ("metadata: {name: Counter_X}", "counter-x", "metadata.name"),
        ("metadata: {name: 'x'}", "workload", "metadata.name"),
        ("metadata: {}", "workload", "metadata.name"),
        ("metadata: nothing", "workload", "metadata"),
        ("x-none: {}", "workload", "metadata"),
    ] {
        let text =
            format!("apiVersion: score.dev/v1b1\n{metadata}\ncontainers: {{web: {{image: x}}}}\n");
        let left = rest(&text).unwrap();
        assert_eq!(left.document.workload.metadata.name, name, "{metadata}");
        assert_eq!(left.left_out[0], out, "{metadata}");
    }
}

#[test]
fn all_mistakes_of_a_list_are_taken_out_of_it_together() {
    let left = rest(
        r"
apiVersion: score.dev/v1b1
metadata: {name: shop}
containers:
  web:
    image: shop:1
    volumes:
    - {target: /one}
    - {target: /two, source: data}
    - {target: /three}
    - {target: /four}
    - {target: /five, source: data}
resources:
  data: {type: volume}
",
    )
    .unwrap();
    let places = [3, 2, 0].map(|index| format!("containers.web.volumes.{index}"));
    assert_eq!(left.left_out, places);
    let volumes = &left.document.workload.containers["web"].volumes;
    let mut targets: Vec<_> = volumes.keys().map(String::as_str).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["/five", "/two"]);
}

#[test]
fn of_more_mistakes_than_are_told_there_is_no_rest() {
    let mut text = "apiVersion: score.dev/v1b1\nmetadata: {name: shop}\ncontainers:\n  web:\n    image: shop:1\n    \
                    variables:\n      LEVEL: debug\n"
        .to_owned();
    for number in 0..250 {
        text += &format!("      KEY_{number}: ${{resources.none.key}}\n");
    }
    assert!(rest(&text).is_none());
}
