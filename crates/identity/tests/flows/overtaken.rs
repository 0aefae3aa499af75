//! Who names no revision hears nothing of others who write at the same moment.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Site, settings};

testkit::on_both!(
    a_removal_that_a_change_overtakes_is_done,
    many_are_taken_into_a_group_and_out_of_it_at_once,
);

async fn a_removal_that_a_change_overtakes_is_done() {
    let site = Site::new().await;
    site.user("ada").await;
    let client = |to: &str| json!({ "redirectUris": [format!("https://app.example.com/{to}")], "description": "" });
    let written = [
        (
            "/v1/identity/groups/crew",
            json!({ "members": [] }),
            json!({ "members": ["ada"] }),
        ),
        ("/v1/identity/clients/app", client("one"), client("two")),
    ];
    for (path, one, other) in written {
        for _ in 0..10 {
            site.admin("PUT", path, one.clone()).await.ok();
            // Both read before either writes.
            let (changed, removed) = tokio::join!(
                site.admin("PUT", path, other.clone()),
                site.admin("DELETE", path, Value::Null),
            );
            assert_eq!(changed.status, StatusCode::OK, "{path}: {}", changed.body);
            let gone = StatusCode::NO_CONTENT;
            assert_eq!(removed.status, gone, "{path}: {}", removed.body);
        }
    }
}

async fn many_are_taken_into_a_group_and_out_of_it_at_once() {
    let site = Site::new().await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    let mut people: Vec<_> = (0..30).map(|number| format!("user-{number}")).collect();
    people.sort();
    for person in &people {
        let path = format!("/v1/identity/users/{person}");
        site.admin("PUT", &path, json!({ "spec": {} })).await.ok();
    }
    for (method, left) in [("PUT", json!(people)), ("DELETE", json!([]))] {
        let all = people.iter().enumerate().map(|(number, person)| {
            let site = if number % 2 == 0 { &site } else { &replica };
            async move {
                let path = format!("/v1/identity/groups/crew/members/{person}");
                site.admin(method, &path, Value::Null).await
            }
        });
        for answer in futures::future::join_all(all).await {
            let done = StatusCode::NO_CONTENT;
            assert_eq!(answer.status, done, "{method}: {}", answer.body);
        }
        let path = "/v1/identity/groups/crew";
        let group = site.admin("GET", path, Value::Null).await.ok().json();
        assert_eq!(group["spec"]["members"], left, "{method}");
    }
}
