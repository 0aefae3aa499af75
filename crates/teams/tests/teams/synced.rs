//! Teams are told of again and again.

use kernel::Key;
use serde_json::json;
use teams::{Settings, model::Team};
use testkit::eventually;

use crate::{
    reconciled::{LONG, driver, team, told},
    support::Site,
};

on_both!(a_team_is_told_of_again_though_nothing_has_changed);

async fn a_team_is_told_of_again_though_nothing_has_changed(site: Site) {
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    let driver = driver(&site);
    let first = eventually("it is told of", LONG, || async {
        team(&site.store, "payments").await?.status.synced
    })
    .await;
    assert_eq!(first.at, site.clock.now());
    let before = told(&site.store, "team.sync").await;
    // More than the quarter that it may take longer for one team than for another.
    site.clock.advance(Settings::SYNC_EVERY * 2);
    let now = site.clock.now();
    eventually("it is told of again", LONG, || async {
        // What waits in the driver waits by the machine's time.
        driver.nudger().nudge(Key::of::<Team>("", "payments"));
        let last = team(&site.store, "payments").await?.status.synced?;
        (last.at == now).then_some(())
    })
    .await;
    assert!(told(&site.store, "team.sync").await > before);
    driver.shutdown().await;
}
