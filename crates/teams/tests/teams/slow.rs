//! A source that takes its time: it holds up the teams that it counts for, and no others.

use serde_json::json;
use testkit::eventually;

use crate::{
    reconciled::{LONG, driver, team},
    support::Site,
};

on_both!(
    a_team_is_onboarded_while_the_source_of_many_others_does_not_answer,
    so_it_is_where_the_others_are_to_have_no_namespace,
);

async fn a_team_is_onboarded_while_the_source_of_many_others_does_not_answer(site: Site) {
    is_onboarded_beside_others_with(&site, &["dev"]).await;
}

/// Of these the source is asked at the first look: nothing is made before.
async fn so_it_is_where_the_others_are_to_have_no_namespace(site: Site) {
    is_onboarded_beside_others_with(&site, &[]).await;
}

async fn is_onboarded_beside_others_with(site: &Site, environments: &[&str]) {
    site.outside.upstream(&[]);
    *site.outside.hangs.lock().unwrap() = true;
    let _driver = driver(site);
    // More than are looked at at once.
    for number in 0..20 {
        let name = format!("far-{number}");
        let group = format!("acme/{name}");
        site.onboard(json!({ "name": name, "group": group, "environments": environments }))
            .await;
    }
    site.outside.group("near", &["ada"]);
    site.onboard(json!({ "name": "near", "source": "local", "environments": [] }))
        .await;
    eventually("the team is ready", LONG, || async {
        let found = team(&site.store, "near").await?;
        (found.status.phase == "ready").then_some(())
    })
    .await;
}
