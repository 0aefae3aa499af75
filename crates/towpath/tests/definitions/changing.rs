//! Revisions of a definition, what is held, and what follows a deletion.

use std::path::Path;

use serde_json::json;

use crate::{
    desk::{Desk, definition, says, score, the_only},
    site::Site,
};

#[tokio::test]
async fn a_changed_definition_is_a_revision_and_a_replacement_waits_for_consent() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let desk = Desk::on(&site);
    let stores = |word: &str| {
        definition(
            "stores",
            "store",
            &json!({ "word": word }),
            &json!({ "holdsData": true }),
        )
    };
    let host = "hello.dev.localhost";
    let resources = json!({ "store": { "type": "store" } });
    let file = desk.file(
        "hello.yaml",
        &score("hello", "${resources.store.word}", &resources),
    );

    says(
        &desk.apply(&[stores("one")]).await,
        &["stores created (revision 1)"],
    );
    desk.done(&["deploy", &file]).await;
    desk.greets(host, "one").await;
    says(
        &desk.apply(&[stores("two")]).await,
        &["stores changed (revision 2)"],
    );
    says(
        &desk.apply(&[stores("two")]).await,
        &["stores unchanged (revision 2)"],
    );
    says(
        &desk.done(&["plan", &file]).await,
        &["revision 1 -> 2", r#"params.outputs.word: "one" -> "two""#],
    );
    desk.done(&["deploy", &file]).await;
    desk.greets(host, "two").await;
    for (name, revision) in [("d-1", 1), ("d-2", 2)] {
        let recorded = client.deployment("dev", name).await.unwrap().spec.graph;
        let (_, node) = recorded.nodes.first_key_value().unwrap();
        assert_eq!(node.definition.revision, revision, "{name}");
    }
    desk.done(&["rollback", "--to", "d-1"]).await;
    desk.greets(host, "one").await;
    assert_eq!(
        the_only(client, "dev").await.spec.definition.to_string(),
        "stores@1"
    );

    // Another provisioner cannot take over what this one made.
    let moved =
        json!({ "provisioner": "environment", "params": { "word": "three" }, "holdsData": true });
    desk.apply(&[definition("stores", "store", &json!({}), &moved)])
        .await;
    let name = the_only(client, "dev").await.meta.name;
    let accept = format!("--accept {name}");
    says(&desk.done(&["plan", &file]).await, &["held:", &accept]);
    desk.done(&["deploy", &file]).await;
    let held = the_only(client, "dev").await;
    assert_eq!(held.spec.definition.to_string(), "stores@1");
    assert_eq!(
        (held.spec.provisioner.as_str(), held.spec.replacements),
        ("template", 0)
    );
    desk.greets(host, "one").await;
    desk.done(&["deploy", &file, "--accept", &name]).await;
    let replaced = the_only(client, "dev").await;
    assert_eq!(replaced.spec.definition.to_string(), "stores@3");
    assert_eq!(
        (replaced.meta.uid, replaced.status.replacements),
        (held.meta.uid, 1)
    );
    desk.greets(host, "three").await;

    what_is_deleted_stays_with_what_uses_it(&desk, &file, &name).await;
    drop(running);
    let _running = site.start().await;
    what_came_with_the_platform_returns_only_by_hand(&desk).await;
    a_mistake_is_told_with_its_place(&desk).await;
}

async fn what_is_deleted_stays_with_what_uses_it(desk: &Desk<'_>, file: &str, name: &str) {
    let gone = desk
        .done(&["delete", "resource-definition", "stores"])
        .await;
    says(
        &gone,
        &[
            "resource definition stores is gone",
            &format!("\n  dev/{name}\n"),
        ],
    );
    says(
        &desk.done(&["plan", file]).await,
        &["nothing here provides", "it stays on stores@3"],
    );
    desk.done(&["deploy", file]).await;
    desk.greets("hello.dev.localhost", "three").await;
    let elsewhere = desk
        .refused(3, &["plan", file, "--env", "new", "--role", "dev"])
        .await;
    says(
        &elsewhere,
        &[
            "hello.yaml:1:",
            "nothing here provides resources of type `store`",
        ],
    );
    // Numbers are not used again.
    let back = definition("stores", "store", &json!({ "word": "four" }), &json!({}));
    says(&desk.apply(&[back]).await, &["stores created (revision 4)"]);
    let built_in = desk
        .done(&["delete", "resource-definition", "redis-default"])
        .await;
    says(&built_in, &["it came with the platform, and stays away"]);
}

async fn what_came_with_the_platform_returns_only_by_hand(desk: &Desk<'_>) {
    let missing = desk
        .refused(4, &["get", "resource-definition", "redis-default"])
        .await;
    says(
        &missing,
        &[
            "resource definition `redis-default` does not exist",
            "`towpath get resource-definitions` lists",
        ],
    );
    let defaults =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../delivery/defaults/definitions.yaml");
    let applied = desk
        .done(&["apply", "-f", defaults.to_str().unwrap()])
        .await;
    says(
        &applied,
        &[
            "redis-default created (revision 2)",
            "volume-default unchanged (revision 1)",
        ],
    );
    let mine = desk
        .done(&["get", "resource-definitions", "-o", "yaml"])
        .await;
    let again = desk
        .done(&["apply", "-f", &desk.file("mine.yaml", &mine)])
        .await;
    assert!(again.lines().count() > 10, "{again}");
    assert!(
        again.lines().all(|line| line.contains(" unchanged ")),
        "{again}"
    );
}

async fn a_mistake_is_told_with_its_place(desk: &Desk<'_>) {
    let fine = definition("fine", "fine", &json!({ "a": "b" }), &json!({}));
    let wrong = "apiVersion: towpath.dev/v1\nkind: ResourceDefinition\nmetadata: {name: wrong}\nspec:\n  \
                 type: wrong\n  provisioner: postgress\n  params:\n    at: ${resources.nothing.host}\n";
    let strange = wrong
        .replace("name: wrong", "name: strange")
        .replace("  params", "  parms");
    let file = desk.file(
        "mistakes.yaml",
        &format!("{fine}\n---\n{wrong}---\n{strange}"),
    );
    let said = desk.refused(3, &["apply", "-f", &file]).await;
    says(
        &said,
        &[
            "mistakes.yaml:8:16: ResourceDefinition wrong: there is no provisioner `postgress`",
            "mistakes.yaml:10:9: ResourceDefinition wrong: `${resources.nothing.host}` refers to nothing",
            "ResourceDefinition strange: unknown field `parms`",
            "mistakes.yaml:18:",
        ],
    );
    desk.refused(4, &["get", "resource-definition", "fine"])
        .await;
    let nowhere = desk
        .refused(4, &["explain", "postgres", "--env", "dk"])
        .await;
    says(
        &nowhere,
        &[
            "environment `dk` does not exist",
            "name one with --env, or in TOWPATH_ENV: `dev`",
        ],
    );
}
