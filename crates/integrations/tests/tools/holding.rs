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

testkit::on_both!(
    what_is_there_already_is_left_alone_until_the_configuration_names_it,
    what_was_made_from_here_is_known_again,
    what_was_asked_for_and_is_there_was_made,
    one_project_is_not_kept_for_two_teams,
    whose_a_place_is_follows_from_what_teams_hold,
    a_place_at_rest_goes_to_whom_the_configuration_names,
    what_is_ours_is_known_when_it_is_taken_up_again,
    what_is_ours_is_forgotten_with_the_team,
);

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

/// Teams whose names give one project, all looked at at once: each pass finds the place free.
async fn one_project_is_not_kept_for_two_teams() {
    let world = World::new().await;
    let (url, site) = jira().await;
    let others = ["p-ayments", "pa-yments", "pay-ments", "paym-ents"];
    for name in others {
        add_team(&world.store, name).await;
    }
    world.put("board", integration(&url, &[])).await;
    let all: Vec<&str> = others.into_iter().chain(["payments"]).collect();
    let states = eventually("all have been looked at", SOON, async || {
        let query = kernel::Query::default();
        let states = world.store.list_all::<IntegrationState>(&query);
        let mut states = states.await.unwrap();
        states.retain(|state| matches!(state.status.step, Step::InStep | Step::Unknown));
        (states.len() == all.len()).then_some(states)
    })
    .await;
    let holders: Vec<_> = states
        .iter()
        .filter(|one| one.status.holds.is_some())
        .collect();
    let [holder] = &holders[..] else {
        panic!("{states:?}");
    };
    let first = &holder.meta.scope;
    world.is(first, "board", Step::InStep).await;
    for other in all.iter().filter(|name| *name != first) {
        let why = format!("`PAYMENTS` is kept for team `{first}`");
        let status = eventually("it is told whose it is", SOON, async || {
            let status = world.is(other, "board", Step::Unknown).await;
            status.message.contains(&why).then_some(status)
        })
        .await;
        assert!(status.message.contains("`projects`"), "{status:?}");
    }
    assert_eq!(site.lock().unwrap().projects.len(), 1);
    let places = world.store.keys("IntegrationPlace", None).await.unwrap();
    assert_eq!(places.len(), 1);
    world.driver.shutdown().await;
}

/// The store of a version that wrote no places: what a team holds is not given to whoever comes first.
async fn whose_a_place_is_follows_from_what_teams_hold() {
    let (url, site) = jira().await;
    site.lock().unwrap().projects.insert("PAYMENTS".into());
    let at = format!("{url}/rest/api/3/project/PAYMENTS");
    let world = World::begin(async |store| {
        add_team(store, "pay-ments").await;
        let mut state = kernel::Resource::<IntegrationState>::new("payments", "board", ());
        state.status.step = Step::InStep;
        state.status.holds = Some(Holding {
            at: at.clone(),
            origin: Origin::Made,
        });
        let mut change = kernel::Change::new();
        change.create(&state).unwrap();
        store.commit(change).await.unwrap();
    })
    .await;
    world.put("board", integration(&url, &["pay-ments"])).await;
    let status = world.is("pay-ments", "board", Step::Unknown).await;
    assert!(
        status.message.contains("is kept for team `payments`"),
        "{status:?}"
    );
    world.is("payments", "board", Step::InStep).await;
    world.driver.shutdown().await;
}

/// A team that is not kept in step any more lets go of its place for one that the configuration names, and
/// does not get it back.
async fn a_place_at_rest_goes_to_whom_the_configuration_names() {
    let world = World::new().await;
    let (url, _) = jira().await;
    let of = |team: &str| {
        let mut new = integration(&url, &[team]);
        new["teams"] = json!({ "names": [team] });
        new
    };
    world.put("board", of("payments")).await;
    world.is("payments", "board", Step::InStep).await;
    add_team(&world.store, "pay-ments").await;
    world.put("board", of("pay-ments")).await;
    world.is("payments", "board", Step::Resting).await;
    let status = world.is("pay-ments", "board", Step::InStep).await;
    assert_eq!(status.holds.unwrap().origin, Origin::Adopted);
    world.put("board", integration(&url, &["payments"])).await;
    let why = "is kept for team `pay-ments`";
    eventually("it is told whose it is now", SOON, async || {
        let status = world.is("payments", "board", Step::Unknown).await;
        status.message.contains(why).then_some(())
    })
    .await;
    world.is("pay-ments", "board", Step::InStep).await;
    world.driver.shutdown().await;
}

fn rested(url: &str) -> Value {
    let mut resting = integration(url, &[]);
    resting["enabled"] = json!(false);
    resting
}

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
    let places = world.store.keys("IntegrationPlace", None).await.unwrap();
    assert!(places.is_empty(), "{places:?}");
    world.driver.shutdown().await;
}
