//! Whether leads are in their team's group: what their source last said of them.

use kernel::Key;
use serde_json::{Value, json};
use teams::model::{Team, Truth};
use testkit::eventually;

use crate::{
    reconciled::{LONG, driver, team},
    support::Site,
};

on_both!(what_is_said_of_leads_is_what_their_source_last_said);

async fn what_is_said_of_leads_is_what_their_source_last_said(site: Site) {
    let outside = site.outside.clone();
    outside.upstream(&[("acme/pay", "7", &["1"])]);
    let driver = driver(&site);
    let new = json!({
        "name": "payments", "group": "acme/pay", "leads": ["github:1"], "environments": [],
    });
    site.onboard(new).await;
    let said = async |status: Truth, text: &'static str| {
        eventually(text, LONG, || async {
            driver.nudger().nudge(Key::of::<Team>("", "payments"));
            let found = team(&site.store, "payments").await?;
            let condition = found.status.condition("LeadsInGroup")?;
            (condition.status == status && condition.message.contains(text)).then_some(())
        })
        .await;
    };
    said(Truth::True, "its leads are in the group `acme/pay`").await;
    // Told to have left.
    outside.upstream(&[("acme/pay", "7", &[])]);
    outside.left.lock().unwrap().insert("1".into());
    said(Truth::False, "`github:1` of its leads is not in the group").await;
    // Of whom it never spoke.
    outside.left.lock().unwrap().clear();
    said(Truth::Unknown, "the team waits for `github:1` to log in").await;
    // Of whom it spoke when they were logged in: never in it, or in it to this day.
    for (is_in, status, text) in [
        (false, Truth::False, "have them taken in at their source"),
        (true, Truth::True, "its leads are in the group `acme/pay`"),
    ] {
        let last = ("github:1".to_owned(), is_in);
        *outside.said.lock().unwrap() = [last].into();
        said(status, text).await;
    }
    // A source that lists its groups knows of everybody.
    outside.said.lock().unwrap().clear();
    said(Truth::Unknown, "the team waits for `github:1` to log in").await;
    *outside.lists.lock().unwrap() = true;
    said(Truth::False, "`github:1` of its leads is not in the group").await;
    *outside.upstream.lock().unwrap() = None;
    said(Truth::Unknown, "cannot be told: github is away").await;

    let change = async |body: Value| {
        let path = "/v1/platforms/teams/payments";
        assert_eq!(site.ask("admin", "PATCH", path, body).await.0, 200);
    };
    change(json!({ "leads": ["gitlab:1"] })).await;
    said(Truth::False, "comes from a source that does not exist").await;
    change(json!({ "leads": ["local:ada"], "source": "github" })).await;
    said(Truth::False, "a source whose groups do not count").await;
    driver.shutdown().await;
}
