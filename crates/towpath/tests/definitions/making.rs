//! What definitions make: by templates and programs, and what is made along.

use serde_json::json;

use crate::{
    desk::{Desk, LONG, definition, instances, says, score, the_only},
    site::Site,
};

/// A program in the platform's directory of commands.
fn program(site: &Site, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = site.data.join("commands").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn templates_programs_and_what_is_made_along_come_and_go() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let made = data.path().join("made-by-the-program");
    let at = made.display();
    program(
        &site,
        "good",
        &format!(
            "question=$(cat)\ncase $question in\n\
             *'\"action\":\"provision\"'*) touch {at}; echo '{{\"outputs\":{{\"word\":\"program\"}},\"secrets\":{{\"key\":\"canary-of-the-program\"}}}}';;\n\
             *'\"action\":\"presence\"'*) [ -e {at} ] && echo '{{\"presence\":\"present\"}}' || echo '{{\"presence\":\"absent\"}}';;\n\
             *'\"action\":\"remove\"'*) rm -f {at};;\nesac"
        ),
    );
    program(&site, "slow", "sleep 60");
    program(&site, "babbles", "echo nope");
    program(&site, "refuses", "echo 'no such plan' >&2; exit 78");
    program(&site, "fails", "echo 'the shop is closed' >&2; exit 3");
    let running = site.start().await;
    let client = running.client();
    let desk = Desk::on(&site);
    let by_program = |name: &str| {
        let more = json!({
            "provisioner": "command", "params": { "command": name, "timeout": 1 }, "outputs": ["word", "key"],
        });
        definition(&format!("by-{name}"), name, &json!({}), &more)
    };
    let along = json!({ "coprovision": [
        { "type": "audit", "order": "after", "params": { "of": "${resources.parent.url}" } },
        { "type": "memo", "order": "beside" },
    ]});
    let app = json!({
        "params": {
            "outputs": { "url": "app-of-{{ context.environment }}" },
            "secrets": { "token": "{{ credential('app') }}" },
        },
        "coprovision": along["coprovision"],
    });
    let mut definitions = ["good", "slow", "babbles", "refuses", "fails"]
        .map(by_program)
        .to_vec();
    definitions.extend([
        definition("app", "app", &json!({}), &app),
        definition(
            "audit",
            "audit",
            &json!({ "of": "${params.of}" }),
            &json!({}),
        ),
        definition("memo", "memo", &json!({ "a": "b" }), &json!({})),
    ]);
    desk.apply(&definitions).await;

    let resources = json!({ "app": { "type": "app" }, "word": { "type": "good" } });
    let greeting = "${resources.word.word} ${resources.app.url}";
    let with = desk.file("with.yaml", &score("hello", greeting, &resources));
    desk.done(&["deploy", &with]).await;
    desk.greets("hello.dev.localhost", "program app-of-dev")
        .await;
    let nodes: Vec<_> = instances(client, "dev")
        .await
        .into_iter()
        .map(|i| i.spec.node.to_string())
        .collect();
    assert_eq!(
        nodes,
        [
            "app.default#hello.app",
            "audit.default#hello.app.audit-1",
            "good.default#hello.word",
            "memo.default#hello.app.memo-2",
        ]
    );
    let all = instances(client, "dev").await;
    assert_eq!(all[1].status.outputs["of"], "app-of-dev");
    assert_eq!(all[0].status.secret_outputs, ["token"]);
    let shown = desk.done(&["resource", "outputs", &all[2].meta.name]).await;
    assert!(
        shown.contains("key") && !shown.contains("canary"),
        "{shown}"
    );
    assert!(made.exists());

    let typo = desk.file(
        "typo.yaml",
        &score("hello", "${resources.word.wort}", &resources),
    );
    says(
        &desk.refused(3, &["plan", &typo]).await,
        &["typo.yaml:1:", "did you mean `word`?"],
    );

    let without = desk.file("without.yaml", &score("hello", "alone", &json!({})));
    desk.done(&["deploy", &without]).await;
    desk.greets("hello.dev.localhost", "alone").await;
    testkit::eventually("all of it goes", LONG, || async {
        (instances(client, "dev").await.is_empty() && !made.exists()).then_some(())
    })
    .await;

    each_failure_of_a_program_is_told(&desk).await;
}

/// What the program did, in the status of the deployment and in the answer of the command.
async fn each_failure_of_a_program_is_told(desk: &Desk<'_>) {
    let cases = [
        ("slow", "did not end within 1 s"),
        ("babbles", "answered"),
        ("refuses", "no such plan"),
        ("fails", "the shop is closed"),
    ];
    let attempts = cases.map(|(name, said)| async move {
        let resources = json!({ "need": { "type": name } });
        let file = desk.file(&format!("{name}.yaml"), &score("wanting", "x", &resources));
        let arguments = [
            "deploy",
            &file,
            "--env",
            name,
            "--role",
            "dev",
            "--timeout",
            "15s",
        ];
        let told = desk.refused(1, &arguments).await;
        says(
            &told,
            &[said, "create", &format!("{name}.default#wanting.need")],
        );
        let program = format!("commands/{name}");
        says(&told, &[&program]);
        let status = desk
            .done(&["describe", "deployment", "d-1", "--env", name])
            .await;
        says(&status, &["failed", said]);
    });
    let [a, b, c, d] = attempts;
    tokio::join!(a, b, c, d);
}

#[tokio::test]
async fn each_program_removes_what_it_has_made() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let made_by = |name: &str| data.path().join(format!("made-by-{name}"));
    for name in ["first", "second"] {
        let at = made_by(name);
        let at = at.display();
        program(
            &site,
            name,
            &format!(
                "question=$(cat)\ncase $question in\n\
                 *'\"action\":\"provision\"'*) touch {at}; echo '{{\"outputs\":{{\"word\":\"{name}\"}}}}';;\n\
                 *'\"action\":\"presence\"'*) [ -e {at} ] && echo '{{\"presence\":\"present\"}}' || echo '{{\"presence\":\"absent\"}}';;\n\
                 *'\"action\":\"remove\"'*) rm -f {at};;\nesac"
            ),
        );
    }
    let _running = site.start().await;
    let desk = Desk::on(&site);
    let by = |name: &str| {
        let more = json!({
            "provisioner": "command", "params": { "command": name }, "outputs": ["word"],
        });
        definition("words", "word", &json!({}), &more)
    };
    let resources = json!({ "word": { "type": "word" } });
    let text = score("hello", "${resources.word.word}", &resources);
    let file = desk.file("hello.yaml", &text);
    // At the end by a provisioner that is told of no program.
    let none = definition("words", "word", &json!({ "word": "none" }), &json!({}));
    for (word, definition) in [
        ("first", by("first")),
        ("second", by("second")),
        ("none", none),
    ] {
        desk.apply(&[definition]).await;
        desk.done(&["deploy", &file]).await;
        desk.greets("hello.dev.localhost", word).await;
        for name in ["first", "second"] {
            assert_eq!(made_by(name).exists(), name == word, "{name} at {word}");
        }
    }
}

#[tokio::test]
async fn what_a_broken_program_cannot_remove_is_given_up() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    program(&site, "broken", "echo 'the shop is closed' >&2; exit 3");
    let running = site.start().await;
    let client = running.client();
    let desk = Desk::on(&site);
    let broken = json!({ "provisioner": "command", "params": { "command": "broken" } });
    desk.apply(&[definition("broken", "thing", &json!({}), &broken)])
        .await;
    let file = desk.file(
        "score.json",
        &score("web", "hello", &json!({ "th": { "type": "thing" } })),
    );
    desk.done(&["deploy", &file, "--no-wait"]).await;
    let thing = the_only(client, "dev").await;
    let name = thing.meta.name.as_str();
    let abandon = ["resource", "abandon", name, "--env", "dev"];
    says(
        &desk.refused(6, &abandon).await,
        &["nobody has asked for the removal of thing.default#web.th"],
    );

    desk.done(&["env", "delete", "dev", "--with-data", "--no-wait"])
        .await;
    let way_out = format!("towpath resource abandon {name} --env dev");
    testkit::eventually("the environment says what to do", LONG, || async {
        let status = client.environment("dev").await.unwrap().status;
        let remaining = status.remaining.join("\n");
        (remaining.contains("the shop is closed") && remaining.contains(&way_out)).then_some(())
    })
    .await;
    let told = desk.done(&abandon).await;
    let remnants = desk.json(&["get", "remnants"]).await;
    let remnant = &remnants["items"][0];
    let left = remnant["metadata"]["name"].as_str().unwrap();
    says(&told, &[&format!("towpath get remnant {left}")]);
    assert_eq!(remnant["spec"]["environment"], "dev");
    assert_eq!(remnant["spec"]["node"], "thing.default#web.th");
    assert_eq!(
        remnant["spec"]["leftBy"],
        json!([{ "provisioner": "command" }])
    );
    says(
        &remnant["spec"]["message"].to_string(),
        &["the shop is closed"],
    );
    testkit::eventually("the environment is gone", LONG, || async {
        let found = client.environment("dev").await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
    says(
        &desk.done(&["get", "remnant", left]).await,
        &["dev/thing.default#web.th", "command", "exit status: 3"],
    );
    desk.done(&["delete", "remnant", left]).await;
    says(&desk.done(&["get", "remnants"]).await, &["No remnants."]);

    // The name is free again.
    desk.apply(&[definition(
        "broken",
        "thing",
        &json!({ "a": "b" }),
        &json!({}),
    )])
    .await;
    desk.done(&["deploy", &file]).await;
}
