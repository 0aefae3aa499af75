//! What is at a tool already is not taken over; what was made from here is known again.

use kernel::Caller;
use serde_json::{Value, json};
use teams::model::{Holding, IntegrationState, Origin, Step};
use testkit::eventually;

use crate::{
    jira::jira,
    reconcile::{SOON, World, add_team},
    support::CREDENTIAL,
};

pub(crate) fn integration(url: &str, adopt: &[&str]) -> Value {
    json!({
        "type": "jira",
        "credential": CREDENTIAL,
        "config": {
            "url": url,
            "user": "ops@acme.example",
            "lead": "acc-lead",
            "accounts": { "ada": "acc-ada", "bob": "acc-bob" },
            "adopt": adopt,
        },
    })
}

#[tokio::test]
async fn what_is_there_already_is_left_alone_until_the_configuration_names_it() {
    let world = World::new().await;
    let (url, site) = jira().await;
    {
        let mut site = site.lock().unwrap();
        site.projects.insert("PAYMENTS".into());
        let theirs = ["acc-eve".to_owned()].into();
        site.roles.insert("10001".into(), theirs);
    }
    world.put("board", integration(&url, &[])).await;
    let status = world.is("payments", "board", Step::Unknown).await;
    let (what, remedy) = status.message.split_once(": ").unwrap();
    assert_eq!(
        what,
        "the project `PAYMENTS` is there already, and was not made from here"
    );
    assert!(remedy.contains("add `payments` to `adopt`"), "{remedy}");
    assert_eq!(status.holds, None);
    let accounts = || site.lock().unwrap().roles["10001"].clone();
    assert_eq!(accounts(), ["acc-eve".to_owned()].into());

    world.put("board", integration(&url, &["payments"])).await;
    let status = world.is("payments", "board", Step::InStep).await;
    assert_eq!(status.holds.unwrap().origin, Origin::Adopted);
    assert_eq!(
        accounts(),
        ["acc-ada".to_owned(), "acc-bob".to_owned()].into()
    );
    world.driver.shutdown().await;
}

#[tokio::test]
async fn what_was_made_from_here_is_known_again() {
    let world = World::new().await;
    let (url, site) = jira().await;
    world.put("board", integration(&url, &[])).await;
    let status = world.is("payments", "board", Step::InStep).await;
    let at = format!("{url}/rest/api/3/project/PAYMENTS");
    let made = Holding {
        at,
        origin: Origin::Made,
    };
    assert_eq!(status.holds, Some(made));
    // Elsewhere, the record says nothing.
    let (other, there) = jira().await;
    there.lock().unwrap().projects.insert("PAYMENTS".into());
    world.put("board", integration(&other, &[])).await;
    world.is("payments", "board", Step::Unknown).await;
    assert!(there.lock().unwrap().roles.is_empty());
    assert!(site.lock().unwrap().projects.contains("PAYMENTS"));
    world.driver.shutdown().await;
}

/// The request arrives, and its answer does not: as where the platform ends between them.
#[tokio::test]
async fn what_was_asked_for_and_is_there_was_made() {
    let world = World::new().await;
    let (url, site) = jira().await;
    site.lock().unwrap().loses_answers = true;
    world.put("board", integration(&url, &[])).await;
    let status = world.is("payments", "board", Step::InStep).await;
    assert_eq!(status.holds.unwrap().origin, Origin::Made);
    let projects = site.lock().unwrap().projects.clone();
    assert_eq!(projects, ["PAYMENTS".to_owned()].into());
    world.driver.shutdown().await;
}

#[tokio::test]
async fn one_project_is_not_kept_for_two_teams() {
    let world = World::new().await;
    let (url, _) = jira().await;
    add_team(&world.store, "pay-ments").await;
    world.put("board", integration(&url, &[])).await;
    world.is("payments", "board", Step::InStep).await;
    let status = world.is("pay-ments", "board", Step::Unknown).await;
    assert!(
        status
            .message
            .contains("`PAYMENTS` is kept for team `payments`"),
        "{status:?}"
    );
    assert!(status.message.contains("`projects`"), "{status:?}");
    world.driver.shutdown().await;
}

fn rested(url: &str) -> Value {
    let mut resting = integration(url, &[]);
    resting["enabled"] = json!(false);
    resting
}

#[tokio::test]
async fn what_is_ours_is_known_when_it_is_taken_up_again() {
    let world = World::new().await;
    let (url, site) = jira().await;
    world.put("board", integration(&url, &[])).await;
    world.is("payments", "board", Step::InStep).await;
    let told = world.told().await.len();

    world.put("board", rested(&url)).await;
    let status = world.is("payments", "board", Step::Resting).await;
    let held = status.holds.unwrap();
    assert_eq!(held.origin, Origin::Made);
    world.put("board", integration(&url, &[])).await;
    let status = world.is("payments", "board", Step::InStep).await;
    assert_eq!(status.holds, Some(held.clone()));

    // Removed, and made anew under this name and under another.
    for name in ["board", "tracker"] {
        let admin = Caller::local_admin();
        let removed = world.teams.integration_delete(&admin, "board", None);
        removed.await.unwrap();
        world.is("payments", "board", Step::Resting).await;
        world.put(name, integration(&url, &[])).await;
        let status = world.is("payments", name, Step::InStep).await;
        assert_eq!(status.holds, Some(held.clone()));
    }
    // Nothing differed, so nothing was done.
    assert_eq!(world.told().await.len(), told);
    assert_eq!(site.lock().unwrap().projects.len(), 1);
    world.driver.shutdown().await;
}

#[tokio::test]
async fn what_is_ours_is_forgotten_with_the_team() {
    let world = World::new().await;
    let (url, _) = jira().await;
    world.put("board", integration(&url, &[])).await;
    world.is("payments", "board", Step::InStep).await;
    world.put("board", rested(&url)).await;
    world.is("payments", "board", Step::Resting).await;
    world.offboard().await;
    eventually("the record goes", SOON, async || {
        let state = world.store.get::<IntegrationState>("payments", "board");
        state.await.unwrap().is_none().then_some(())
    })
    .await;
    world.driver.shutdown().await;
}
