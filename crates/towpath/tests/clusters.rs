//! Clusters: what operators say of them, and the kubeconfig that a member makes of it.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use std::{fs, os::unix::fs::PermissionsExt as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::Client;
use fleet::{api::NewCluster, model::ClusterSpec};
use person::Person;
use serde_json::{Value, json};
use site::Site;

const ONE: &str = include_str!("../../fleet/tests/one-ca.pem");
const OTHER: &str = include_str!("../../fleet/tests/other-ca.pem");

fn document(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "towpath.dev/v1", "kind": "Cluster", "metadata": { "name": name }, "spec": spec })
}

fn prod() -> Value {
    json!({
        "endpoint": "https://10.0.0.1:6443", "certificateAuthorityData": ONE, "roles": ["prod"],
        "region": "eu-central-1", "default": true, "parameters": { "efsStorageId": "fs-0123" },
    })
}

fn qa() -> Value {
    json!({
        "endpoint": "https://qa.example", "certificateAuthorityData": STANDARD.encode(OTHER),
        "roles": ["qa", "preview"],
    })
}

/// What applying documents answers, by a file as operators have it.
async fn apply(site: &Site, documents: &[Value]) -> site::work::Ended {
    let file = site.data.join("clusters.yaml");
    let texts = documents.iter().map(ToString::to_string);
    fs::write(&file, texts.collect::<Vec<_>>().join("\n---\n")).unwrap();
    site.cli(&["apply", "-f", file.to_str().unwrap()]).await
}

async fn listed(site: &Site) -> Value {
    let ended = site.cli(&["cluster", "list", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[tokio::test]
async fn operators_say_which_clusters_there_are() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client: &Client = running.client();

    let made = apply(&site, &[document("prod", &prod()), document("qa", &qa())]).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.out.contains("Cluster/prod created"), "{}", made.out);
    let again = apply(&site, &[document("qa", &qa()), document("prod", &prod())]).await;
    assert!(
        again.out.contains("Cluster/prod unchanged"),
        "{}",
        again.out
    );
    let all = listed(&site).await;
    let spec = &all["items"][0]["spec"];
    assert_eq!(spec["endpoint"], "https://10.0.0.1:6443");
    assert_eq!(spec["certificateAuthorityData"], STANDARD.encode(ONE));
    assert_eq!(spec["parameters"]["efsStorageId"], "fs-0123");
    assert_eq!(spec["default"], true);
    assert_eq!(
        all["items"][1]["spec"]["certificateAuthorityData"],
        STANDARD.encode(OTHER),
        "as it was given, in base64"
    );
    insta::assert_snapshot!("cluster_list", site.cli(&["cluster", "list"]).await.out);
    insta::assert_snapshot!(
        "cluster_show",
        site.cli(&["cluster", "show", "prod"]).await.out
    );

    // One is the default. Another takes its place in one go, and not by the way.
    let mut eager = qa();
    eager["default"] = json!(true);
    let refused = apply(&site, &[document("qa", &eager)]).await;
    assert_eq!(refused.code, 6, "{refused:?}");
    insta::assert_snapshot!("cluster_two_defaults", refused.err);
    let refused = site.cli(&["cluster", "set", "qa", "--default"]).await;
    assert_eq!(refused.code, 6, "{refused:?}");
    let mut modest = prod();
    modest.as_object_mut().unwrap().remove("default");
    let moved = apply(&site, &[document("qa", &eager), document("prod", &modest)]).await;
    assert_eq!(moved.code, 0, "{moved:?}");
    assert_eq!(listed(&site).await["items"][1]["spec"]["default"], true);

    // What is changed by its parts stays otherwise as it was.
    let set = ["cluster", "set", "qa", "--parameter", "efsStorageId=fs-9"];
    let set = site.cli(&[&set[..], &["--no-default"]].concat()).await;
    assert_eq!(set.code, 0, "{set:?}");
    let qa_now = client.cluster("qa").await.unwrap();
    assert_eq!(qa_now.spec.parameters["efsStorageId"], "fs-9");
    assert!(!qa_now.spec.is_default);
    assert_eq!(qa_now.spec.roles.len(), 2);

    // Only while it is as it was read.
    let new = NewCluster {
        spec: ClusterSpec {
            description: "another".into(),
            ..qa_now.spec.clone()
        },
        ..NewCluster::default()
    };
    let stale = qa_now.meta.revision - 1;
    let refused = client.put_cluster("qa", &new, Some(stale)).await;
    assert!(refused.unwrap_err().to_string().contains("revision"));
    let refused = client.delete_cluster("qa", Some(stale)).await;
    assert!(refused.unwrap_err().to_string().contains("revision"));
    let absent = client.put_cluster("absent", &new, Some(1)).await;
    assert!(absent.unwrap_err().to_string().contains("no cluster"));
    let revision = Some(qa_now.meta.revision);
    client.put_cluster("qa", &new, revision).await.unwrap();

    let unsaid = site.cli(&["cluster", "delete", "qa"]).await;
    assert_eq!(unsaid.code, 2, "{unsaid:?}");
    assert!(unsaid.err.contains("--confirm qa"), "{}", unsaid.err);
    let gone = site
        .cli(&["cluster", "delete", "qa", "--confirm", "qa"])
        .await;
    assert_eq!(gone.code, 0, "{gone:?}");
    let missing = site.cli(&["cluster", "show", "qa"]).await;
    assert_eq!(missing.code, 4, "{missing:?}");
    assert!(
        missing.err.contains("towpath cluster list"),
        "{}",
        missing.err
    );
    let told = site
        .cli(&["events", "--type", "cluster.deleted", "-o", "json"])
        .await;
    assert!(told.out.contains("https://qa.example"), "{told:?}");
}

#[tokio::test]
async fn what_no_kubectl_could_use_is_refused_where_it_comes_in() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let key = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n";
    let with_key =
        json!({ "endpoint": "https://prod", "certificateAuthorityData": format!("{ONE}{key}") });
    let bad = json!({
        "endpoint": "http://10.0.0.1", "certificateAuthorityData": "bm9uZQ==", "roles": ["Prod"],
        "parameters": { "a b": "c" },
    });
    let mut team = document("team", &json!({ "endpoint": "https://prod" }));
    team["metadata"]["labels"] = json!({ "team": "payments" });
    let all = [document("bad", &bad), document("key", &with_key), team];
    let refused = apply(&site, &all).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(!refused.err.contains("Y2FuYXJ5"), "{}", refused.err);
    let said = refused.err.replace(data.path().to_str().unwrap(), "HERE");
    insta::assert_snapshot!("cluster_refused", said);
    assert_eq!(listed(&site).await["items"], json!([]), "all or nothing");

    let set = ["cluster", "set", "prod", "--endpoint", "http://10.0.0.1"];
    let refused = site.cli(&set).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("no https address"), "{}", refused.err);
}

#[tokio::test]
async fn of_two_that_name_a_default_at_once_one_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let new = NewCluster {
        spec: ClusterSpec {
            endpoint: "https://prod".into(),
            is_default: true,
            ..ClusterSpec::default()
        },
        ..NewCluster::default()
    };
    let names: Vec<_> = (0..8).map(|number| format!("c{number}")).collect();
    let puts = names
        .iter()
        .map(|name| client.put_cluster(name, &new, None));
    let ended = futures::future::join_all(puts).await;
    let made = ended.iter().filter(|one| one.is_ok()).count();
    assert_eq!(made, 1, "{ended:?}");
    let all = listed(&site).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_member_has_a_context_for_each_cluster() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    person::ada_of_payments(&site).await;
    let ada = Person::new();
    assert_eq!(
        ada.run(&["kubeconfig"]).await.code,
        5,
        "nobody is logged in"
    );
    assert_eq!(ada.login(&site.server(), "ada", &[]).await.code, 0);
    let none = ada.run(&["kubeconfig"]).await;
    assert_eq!(none.code, 4, "{none:?}");
    assert!(none.err.contains("--cluster-server"), "{}", none.err);

    let set = ["cluster", "set", "prod", "--endpoint", "https://prod"];
    let refused = ada.run(&set).await;
    assert_eq!(refused.code, 5, "{refused:?}");
    let made = apply(&site, &[document("prod", &prod()), document("qa", &qa())]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let seen = ada.run(&["cluster", "list"]).await;
    assert!(seen.out.contains("https://qa.example"), "{seen:?}");

    let written = ada.run(&["kubeconfig", "--write"]).await;
    assert_eq!(written.code, 0, "{written:?}");
    let path = ada.home().join(".kube/config");
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    for secret in ["access", "refresh"] {
        let secret = ada.tokens(0)[secret].as_str().unwrap().to_owned();
        assert!(!text.contains(&secret), "no token is in it");
    }
    assert!(!text.contains(ada.tokens(0)["id"]["token"].as_str().unwrap()));
    let config: Value = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!(config["current-context"], "prod");
    let names = |list: &str| -> Vec<String> {
        let all = config[list].as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("clusters"), ["prod", "qa"]);
    assert_eq!(names("contexts"), ["prod", "qa"]);
    assert_eq!(names("users"), ["oidc-user@prod", "oidc-user@qa"]);
    assert_eq!(config["contexts"][1]["context"]["user"], "oidc-user@qa");
    let qa = &config["clusters"][1]["cluster"];
    assert_eq!(qa["server"], "https://qa.example");
    assert_eq!(qa["certificate-authority-data"], STANDARD.encode(OTHER));
    let exec = &config["users"][1]["user"]["exec"];
    assert_eq!(exec["args"][0], "credential");

    // One of them: by a flag, else by the variable. What is there stays.
    let current = || -> String {
        let config: Value = serde_yaml_ng::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(config["contexts"].as_array().unwrap().len(), 2);
        config["current-context"].as_str().unwrap().to_owned()
    };
    let one = ada.run(&["kubeconfig", "--cluster", "qa", "--write"]).await;
    assert_eq!(one.code, 0, "{one:?}");
    assert_eq!(current(), "qa");
    let variable = [("TOWPATH_CLUSTER", "qa")];
    let flag = ["kubeconfig", "--cluster", "prod", "--write"];
    ada.run_with(&flag, &variable).await;
    assert_eq!(current(), "prod");
    ada.run_with(&["kubeconfig", "--write"], &variable).await;
    assert_eq!(current(), "qa");
    ada.run(&["kubeconfig", "--write", "--keep-current"]).await;
    assert_eq!(current(), "qa");
    let printed = ada.run(&["kubeconfig", "--cluster", "qa"]).await;
    assert!(!printed.out.contains("10.0.0.1"), "{}", printed.out);
    let absent = ada.run(&["kubeconfig", "--cluster", "absent"]).await;
    assert_eq!(absent.code, 4, "{absent:?}");

    // Another login's context of the name is not taken in silence.
    let again = ada
        .login(&site.server(), "ada", &["--context", "again"])
        .await;
    assert_eq!(again.code, 0, "{again:?}");
    let taken = ada.run(&["kubeconfig", "--write"]).await;
    assert!(taken.err.contains("`prod` was of the login"), "{taken:?}");

    // Without a default nothing is chosen for her.
    site.cli(&["cluster", "set", "prod", "--no-default"]).await;
    let undecided = ada.run(&["kubeconfig"]).await;
    assert_eq!(undecided.code, 0, "{undecided:?}");
    assert!(
        !undecided.out.contains("current-context"),
        "{}",
        undecided.out
    );
    assert!(undecided.err.contains("use-context"), "{}", undecided.err);
}
