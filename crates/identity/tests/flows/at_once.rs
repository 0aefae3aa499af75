//! Many who write the same, or beside each other, at the same moment: none is refused.

use axum::http::StatusCode;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    accounts::account,
    support::{Answer, Site, settings},
};

testkit::on_both!(
    twenty_who_write_the_same_all_do,
    thirty_trusts_of_one_account_are_all_made,
    a_trust_that_two_remove_is_gone_for_both,
);

const TEAM: &str = "/v1/identity/teams/payments";

async fn two_replicas() -> [Site; 2] {
    let site = Site::new().await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    [site, replica]
}

async fn put_all(sites: &[Site; 2], paths: &[String], body: &Value) -> Vec<Answer> {
    let all = paths.iter().enumerate().map(|(number, path)| {
        let (site, body) = (&sites[number % 2], body.clone());
        async move { site.admin("PUT", path, body).await }
    });
    join_all(all).await
}

fn trust() -> Value {
    json!({
        "issuer": "https://ci.example.com",
        "claims": { "repository": "acme/payments" },
        "serviceAccount": "ci",
    })
}

async fn twenty_who_write_the_same_all_do() {
    let sites = two_replicas().await;
    let written = [
        ("/v1/identity/groups/crew", json!({ "members": [] })),
        (
            "/v1/identity/clients/app",
            json!({ "redirectUris": ["https://app.example.com/back"], "description": "" }),
        ),
        (
            "/v1/identity/upstreams/corp",
            json!({
                "spec": {
                    "title": "Corp", "clientId": "towpath",
                    "provider": { "type": "oidc", "issuer": "https://login.example.com" },
                },
                "secret": "hush-of-the-provider",
            }),
        ),
        ("/v1/identity/teams/payments/service-accounts/ci", json!({})),
        ("/v1/identity/users/ada", json!({ "spec": {} })),
    ];
    for (path, body) in written {
        let paths = vec![path.to_owned(); 20];
        for answer in put_all(&sites, &paths, &body).await {
            assert!(answer.status.is_success(), "{path}: {}", answer.body);
        }
    }
}

async fn thirty_trusts_of_one_account_are_all_made() {
    let sites = two_replicas().await;
    account(&sites[0], "ci", json!({})).await;
    let path = |number| format!("{TEAM}/workload-trusts/trust-{number}");
    let paths: Vec<_> = (0..30).map(path).collect();
    for answer in put_all(&sites, &paths, &trust()).await {
        assert!(answer.status.is_success(), "{}", answer.body);
    }
}

async fn a_trust_that_two_remove_is_gone_for_both() {
    let sites = two_replicas().await;
    account(&sites[0], "ci", json!({})).await;
    let path = format!("{TEAM}/workload-trusts/github");
    for _ in 0..5 {
        sites[0].admin("PUT", &path, trust()).await.ok();
        let remove = |site: usize| sites[site].admin("DELETE", &path, Value::Null);
        let (one, other) = tokio::join!(remove(0), remove(1));
        for answer in [one, other] {
            let gone = [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND];
            assert!(gone.contains(&answer.status), "{}", answer.body);
        }
    }
}
