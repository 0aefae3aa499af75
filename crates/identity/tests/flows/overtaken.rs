//! Who names no revision hears nothing of others who write at the same moment.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::Site;

testkit::on_both!(a_removal_that_a_change_overtakes_is_done,);

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
