//! Which definition meets a need, why, and what cannot be.

use std::collections::BTreeMap;

use client::Client;
use serde_json::json;

use crate::{
    desk::{Desk, definition, instances, says, score},
    site::{self, Site},
};

#[tokio::test]
async fn the_most_specific_definition_meets_a_need_and_explain_says_why() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let desk = Desk::on(&site);
    for arguments in [
        &["env", "create", "dev"][..],
        &["env", "create", "other", "--role", "qa"],
        &["env", "create", "alphas", "--team", "alpha"],
        &["env", "create", "qa", "--role", "qa", "--team", "alpha"],
    ] {
        desk.done(arguments).await;
    }
    let criteria = [
        ("everywhere", json!([])),
        ("labels", json!([{ "labels": { "region": "eu" } }])),
        ("class", json!([{ "class": "big" }])),
        ("role", json!([{ "role": "qa" }])),
        ("team", json!([{ "team": "alpha" }])),
        ("environment", json!([{ "environment": "qa" }])),
        ("workload", json!([{ "workload": "hello" }])),
        ("id", json!([{ "id": "chosen" }])),
    ];
    let all = criteria.map(|(by, criteria)| {
        let outputs = json!({ "by": by });
        definition(
            &format!("by-{by}"),
            "thing",
            &outputs,
            &json!({ "criteria": criteria }),
        )
    });
    desk.apply(&all).await;

    let (eu, big) = (["--label", "region=eu"], ["--class", "big"]);
    let both = [eu, big].concat();
    let hello = [&both[..], &["--workload", "hello"]].concat();
    let chosen = [&hello[..], &["--id", "chosen"]].concat();
    for (environment, need, by) in [
        ("dev", &[][..], "everywhere"),
        ("dev", &eu, "labels"),
        ("dev", &both, "class"),
        ("other", &both, "role"),
        ("alphas", &both, "team"),
        ("qa", &both, "environment"),
        ("qa", &hello, "workload"),
        ("qa", &chosen, "id"),
    ] {
        let arguments = [&["explain", "thing", "--env", environment], need].concat();
        let explained = desk.json(&arguments).await;
        assert_eq!(
            explained["chosen"]["name"],
            format!("by-{by}"),
            "{arguments:?}"
        );
    }
    let why = desk.done(&["explain", "thing", "--class", "big"]).await;
    says(
        &why,
        &[
            "by-class@1: chosen",
            "params: none",
            "outputs: by",
            "by-everywhere@1: less specific",
            "role is dev, not qa",
        ],
    );
    let unknown = desk.refused(4, &["explain", "thingg"]).await;
    says(
        &unknown,
        &["nothing here provides", "did you mean `thing`?"],
    );

    what_is_planned_is_made(&desk, running.client()).await;
    rivals_are_named(&desk).await;
    what_cannot_be_is_refused_with_the_plan(&desk).await;
}

/// Graph and plan say beforehand what there is afterwards.
async fn what_is_planned_is_made(desk: &Desk<'_>, client: &Client) {
    let resources = json!({ "thing": { "type": "thing", "class": "big" } });
    let greeting = "${resources.thing.by}";
    let mut unset = site::work::score("hello", &json!({ "GREETING": greeting }), &resources);
    unset["containers"]["main"]["image"] = ".".into();
    let file = desk.file("hello.yaml", &unset.to_string());
    let hello = site::hello().display().to_string();
    let given = ["-f", &file, "--env", "qa", "--image", &hello];
    let of = |command: &'static str| [&[command], &given[..]].concat();

    let plan = desk.json(&of("plan")).await;
    let planned: BTreeMap<String, String> = plan["plan"]["resources"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, step)| {
            (
                name.clone(),
                step["definition"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let graph = desk.json(&of("graph")).await;
    let drawn: Vec<&String> = graph["graph"]["nodes"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(drawn, ["thing.big#hello.thing"]);

    desk.done(&of("deploy")).await;
    let made: BTreeMap<String, String> = instances(client, "qa")
        .await
        .into_iter()
        .map(|i| (i.meta.name, i.spec.definition.to_string()))
        .collect();
    assert_eq!(made, planned);
    assert_eq!(made.into_values().collect::<Vec<_>>(), ["by-workload@1"]);
    desk.greets("hello.qa.localhost", "workload").await;
    let again = desk.json(&["graph", "--env", "qa"]).await;
    assert_eq!(again["graph"], graph["graph"]);
    // Applied, it is deployed with the same image.
    says(&desk.done(&of("apply")).await, &["succeeded"]);
    let nothing = desk.refused(2, &["graph", "--image", &hello]).await;
    says(&nothing, &["--image", "name a Score file"]);
}

async fn rivals_are_named(desk: &Desk<'_>) {
    let more = json!({ "criteria": [{ "workload": "hello" }] });
    desk.apply(&[definition(
        "rival",
        "thing",
        &json!({ "by": "rival" }),
        &more,
    )])
    .await;
    let file = desk.file(
        "rivals.yaml",
        &score("hello", "x", &json!({ "need": { "type": "thing" } })),
    );
    for (code, arguments) in [
        (
            6,
            &["explain", "thing", "--env", "qa", "--workload", "hello"][..],
        ),
        (3, &["deploy", &file, "--env", "qa"]),
    ] {
        let said = desk.refused(code, arguments).await;
        says(
            &said,
            &[
                "`by-workload@1` (workload hello)",
                "`rival@1` (workload hello)",
            ],
        );
    }
    let gone = desk.done(&["delete", "resource-definition", "rival"]).await;
    assert_eq!(gone, "resource definition rival is gone\n");
}

async fn what_cannot_be_is_refused_with_the_plan(desk: &Desk<'_>) {
    let further =
        |r#type: &str| json!({ "resources": { "next": { "type": r#type, "id": "one" } } });
    let size = json!({ "size": "${params.size}" });
    desk.apply(&[
        definition("loop-a", "aa", &json!({}), &further("bb")),
        definition("loop-b", "bb", &json!({}), &further("aa")),
        definition("shared", "shared", &size, &json!({})),
    ])
    .await;
    let file = desk.file(
        "cycle.yaml",
        &score(
            "cycle",
            "x",
            &json!({ "need": { "type": "aa", "id": "one" } }),
        ),
    );
    let said = desk.refused(3, &["plan", &file]).await;
    says(
        &said,
        &["aa.default#one -> bb.default#one -> aa.default#one"],
    );

    let asks = |name: &str, size: u8| {
        let shared = json!({ "type": "shared", "id": "all", "params": { "size": size } });
        desk.file(
            &format!("{name}.yaml"),
            &score(name, "x", &json!({ "need": shared })),
        )
    };
    let (one, two) = (asks("one", 1), asks("two", 2));
    let said = desk.refused(3, &["plan", &one, &two]).await;
    says(
        &said,
        &[
            "one.resources.need and two.resources.need ask for the same",
            "two.yaml:1:",
        ],
    );
    // Each alone is fine, until the other is there.
    desk.done(&["deploy", &one]).await;
    let said = desk.refused(3, &["plan", &two]).await;
    says(
        &said,
        &[
            "two.resources.need asks for shared.default#all",
            "workload one",
        ],
    );

    let image = site::hello().display().to_string();
    let wrong = format!(
        "apiVersion: score.dev/v1b1\nmetadata: {{name: wrong}}\nservice:\n  ports: {{www: {{port: 80}}, talk: {{port: 53, protocol: UDP}}}}\n\
         containers:\n  main:\n    image: {image}\n    variables:\n      A: ${{resources.thing.bye}}\n\
         resources:\n  thing: {{type: thing}}\n  there: {{type: service-port, params: {{workload: one, port: www}}}}\n\
         \x20 no-port: {{type: service-port, params: {{workload: one, port: 81}}}}\n\
         \x20 nobody:\n    type: service-port\n    params:\n      workload: onne\n      port: www\n\
         \x20 route: {{type: route, params: {{host: w.dev.localhost, port: wwww}}}}\n\
         \x20 udp: {{type: route, params: {{host: u.dev.localhost, port: talk}}}}\n\
         \x20 udp-port: {{type: service-port, params: {{workload: wrong, port: 53}}}}\n"
    );
    let file = desk.file("wrong.yaml", &wrong);
    let said = desk.refused(3, &["plan", &file]).await;
    says(
        &said,
        &[
            "wrong.yaml:9:10: `${resources.thing.bye}`: resource `thing`",
            "did you mean `by`?",
            "wrong.yaml:13:",
            "workload `one` has no port `81`",
            "it has www (80)",
            "wrong.yaml:17:17: there is no workload `onne`",
            "did you mean `one`?",
            "workload `wrong` has no port `wwww`",
            "wrong.yaml:20:",
            "port `talk` of workload `wrong` is UDP",
            "port `53` of workload `wrong` is UDP",
            "name a TCP port of `wrong`",
        ],
    );
    assert!(!said.contains("wrong.yaml:12:"), "{said}");
}
