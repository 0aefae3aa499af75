//! No shields: revisions compared, policies and what they decided over, and what the engine is handed.

use serde_json::{Value, json};

use crate::{
    desk::{Desk, definition, says},
    site::{self, Site},
};

/// A template's outputs, one of them secret.
fn vault(word: &str, more: &Value) -> String {
    let outputs = json!({ "word": word });
    let mut document: Value =
        serde_json::from_str(&definition("vaults", "vault", &outputs, more)).unwrap();
    document["spec"]["params"]["secrets"] = json!({ "key": "canary-of-the-vault" });
    document.to_string()
}

#[tokio::test]
async fn everything_that_was_made_of_a_deployment_is_shown_without_its_secrets() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let desk = Desk::on(&site);
    desk.apply(&[vault("one", &json!({}))]).await;
    let variables = json!({
        "GREETING": "${resources.vault.word}",
        "URL": "store://u:${resources.vault.key}@host/${metadata.name}",
    });
    let resources = json!({ "vault": { "type": "vault" } });
    let mut score = site::work::score("hello", &variables, &resources);
    score["containers"]["main"]["files"] = json!({
        "/etc/hello.conf": { "mode": "0600", "content": "key=${resources.vault.key}\n" },
    });
    let file = desk.file("hello.yaml", &score.to_string());
    desk.done(&["deploy", &file]).await;
    desk.greets("hello.dev.localhost", "one").await;

    revisions_are_compared(&desk).await;
    what_the_engine_is_handed_is_shown(&desk).await;
    what_policy_was_asked_is_kept(&desk, &file).await;
}

#[tokio::test]
async fn who_asks_for_something_is_told_where_to_learn_of_it() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let desk = Desk::on(&site);
    desk.done(&["env", "create", "dev", "--role", "dev"]).await;
    let url = "https://docs.example.com/vaults";
    desk.apply(&[vault("one", &json!({ "learn": url }))]).await;
    for told in [
        desk.done(&["explain", "vault"]).await,
        desk.done(&["describe", "definition", "vaults"]).await,
        desk.done(&["get", "definitions"]).await,
    ] {
        says(&told, &[url]);
    }
    // What the platform comes with says so of itself.
    let told = desk.done(&["explain", "postgres"]).await;
    says(&told, &["learn more: https://www.postgresql.org/docs/"]);
    for bad in [
        "docs/vaults.md",
        "javascript:alert(1)",
        "https://",
        "https://a b",
    ] {
        let file = desk.file("bad.yaml", &vault("one", &json!({ "learn": bad })));
        let told = desk.refused(3, &["apply", "-f", &file]).await;
        says(&told, &["definition/learn", "write an absolute URL"]);
    }
}

async fn revisions_are_compared(desk: &Desk<'_>) {
    let more = json!({ "criteria": [{ "role": "dev" }], "description": "words" });
    desk.apply(&[vault("two", &more)]).await;
    says(
        &desk.done(&["diff", "definition", "vaults"]).await,
        &[
            "resource definition vaults: revision 1 -> 2\n",
            r#"+ criteria: {"role":"dev"}"#,
            r#"+ description: "words""#,
            r#"~ params.outputs.word: "one" -> "two""#,
        ],
    );
    let back = desk.json(&["diff", "definition", "vaults", "2", "1"]).await;
    let word = json!({ "path": "params.outputs.word", "before": "two", "after": "one" });
    let changes = back["changes"].as_array().unwrap();
    assert!(changes.contains(&word), "{back}");
    let same = desk.done(&["diff", "definition", "vaults", "2"]).await;
    says(&same, &["revision 2 -> 2", "both say the same"]);
    let never = desk
        .refused(4, &["diff", "definition", "vaults", "1", "7"])
        .await;
    says(
        &never,
        &[
            "revision 7 of resource definition `vaults`",
            "get revisions vaults",
        ],
    );
    let first = desk
        .refused(3, &["diff", "definition", "volume-default"])
        .await;
    says(&first, &["no revision before revision 1"]);

    let listed = desk.json(&["get", "revisions", "vaults"]).await;
    let items = listed["items"].as_array().unwrap().iter();
    let names: Vec<_> = items
        .map(|one| one["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["r2", "r1"]);
    let old = ["describe", "definition", "vaults", "--revision", "1"];
    let old = desk.json(&old).await;
    assert_eq!(old["spec"]["params"]["outputs"]["word"], "one");
}

async fn what_the_engine_is_handed_is_shown(desk: &Desk<'_>) {
    let shown = desk
        .json(&["describe", "workload", "hello", "--rendered"])
        .await;
    assert_eq!(shown["release"], 1);
    assert_eq!(shown["engine"], "process");
    let main = &shown["containers"]["main"];
    assert_eq!(main["variables"]["GREETING"], "one");
    assert_eq!(
        main["variables"]["URL"],
        "store://u:(secret ${resources.vault.key})@host/hello"
    );
    assert_eq!(main["files"][0]["mode"], "0600");
    assert_eq!(
        main["files"][0]["content"],
        "key=(secret ${resources.vault.key})\n"
    );
    assert_eq!(main["readiness"]["path"], "/");
    assert!(!shown.to_string().contains("canary"), "{shown}");
    let text = desk
        .done(&["describe", "workload", "hello", "--rendered"])
        .await;
    says(&text, &["GREETING: one", "(secret ${resources.vault.key})"]);
    let other = desk
        .refused(2, &["describe", "route", "hello", "--rendered"])
        .await;
    says(&other, &["--rendered is of workloads alone"]);
}

async fn what_policy_was_asked_is_kept(desk: &Desk<'_>, file: &str) {
    let listed = desk.json(&["get", "policies"]).await;
    let name = listed["items"][0]["name"].as_str().unwrap().to_owned();
    let shown = desk.done(&["describe", "policy", &name]).await;
    says(&shown, &["package towpath"]);
    desk.refused(4, &["describe", "policy", "none"]).await;

    let shown = desk.json(&["describe", "deployment", "d-1"]).await;
    let input = &shown["policy"]["input"];
    assert_eq!(input["caller"]["admin"], true);
    assert_eq!(input["environment"]["name"], "dev");
    let variables = &input["workloads"]["hello"]["containers"]["main"]["variables"];
    assert_eq!(*variables, json!({ "GREETING": null, "URL": null }));
    assert_eq!(input["plan"], shown["spec"]["plan"]);
    assert_eq!(shown["policy"]["decision"], shown["spec"]["decision"]);
    assert!(!shown["policy"].to_string().contains("canary"), "{shown}");
    let text = desk.done(&["describe", "deployment", "d-1"]).await;
    says(&text, &["Policy was asked of", "name: dev"]);
    // Of a plan it is the same, before anything is made.
    let plan = desk.json(&["plan", file]).await;
    assert_eq!(plan["policyInput"]["environment"]["name"], "dev");
    let (mut asked, told) = (plan["policyInput"]["plan"].clone(), &plan["plan"]);
    // What a warning is about has its place in the files here.
    assert_eq!(asked["warnings"].as_array().map(Vec::len), Some(1));
    asked["warnings"] = told["warnings"].clone();
    assert_eq!(asked, *told);
}
