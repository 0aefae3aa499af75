//! People whom a tool knows by an address and an id of its own: of some no address is known here, and some it
//! does not know.

use std::collections::BTreeMap;

use kernel::{ErrorKind, Secret};
use serde_json::{Value, json};
use teams::{
    model::Step,
    tool::{Found, Place, Wanted},
};

use crate::{
    cloud::cloud,
    reconcile::World,
    support::{CREDENTIAL, heal, look, team, tool},
    terraform::{TEAM, config, example, reached},
};

/// What is found where these were known before, by subject.
async fn known(config: &Value, wanted: &Wanted, accounts: &[(&str, &str)]) -> Found {
    let accounts: BTreeMap<String, String> = accounts
        .iter()
        .map(|(subject, account)| ((*subject).to_owned(), (*account).to_owned()))
        .collect();
    let credential = Secret::from(CREDENTIAL);
    let place = Place {
        config,
        credential: Some(&credential),
        ours: true,
        accounts: &accounts,
    };
    tool("http").look(place, wanted).await.unwrap()
}

fn changes(found: &Found) -> Vec<String> {
    let mut changes = Vec::new();
    for repair in &found.repairs {
        let wanted = repair.wanted.as_deref().unwrap_or("-");
        changes.push(format!("{} -> {wanted}", repair.what));
    }
    changes
}

#[tokio::test]
async fn who_is_in_the_team_and_has_no_address_is_not_taken_out() {
    let (url, cloud) = cloud(&["ada", "bob", "eve"]).await;
    let config = config(&url);
    let all = reached(team(&["ada", "bob", "eve"]));
    heal(tool("http").as_ref(), &config, &all).await;
    // Bob has left. Eve has not logged in, and was put there by hand.
    let mut wanted = reached(team(&["ada", "eve"]));
    wanted.members[1].email = None;
    let found = known(&config, &wanted, &[]).await;
    assert!(found.repairs.is_empty(), "{found:?}");
    let why = "`eve` has no address that is known";
    assert!(found.obstacles[0].starts_with(why), "{found:?}");

    // Where it is known that it is he, he is out; and it is known until then.
    let bob = ("hub:bob", "bob@acme.example");
    let found = known(&config, &wanted, &[bob]).await;
    assert_eq!(changes(&found), ["members/bob@acme.example -> -"]);
    assert_eq!(found.accounts["hub:bob"], bob.1);

    // Her address is told no longer: it is still hers, and everybody else's is known.
    let eve = ("hub:eve", "eve@acme.example");
    let found = known(&config, &wanted, &[eve]).await;
    assert_eq!(changes(&found), ["members/bob@acme.example -> -"]);
    assert!(found.obstacles.is_empty(), "{found:?}");
    assert_eq!(found.accounts["hub:eve"], eve.1);
    // What people were known by when the description said so is no address.
    let found = known(&config, &wanted, &[("hub:eve", "eve")]).await;
    assert!(found.repairs.is_empty(), "{found:?}");

    let hers = cloud.lock().unwrap().membership("eve");
    for within in cloud.lock().unwrap().within.values_mut() {
        within.remove(&hers);
    }
    let found = known(&config, &wanted, &[eve]).await;
    let expected = [
        "members/bob@acme.example -> -",
        "members/eve@acme.example -> member",
    ];
    assert_eq!(changes(&found), expected);
}

#[tokio::test]
async fn who_is_remembered_is_not_forgotten_where_nobody_looked() {
    let (url, _) = cloud(&["ada"]).await;
    // The members come last, and what is before them is not there.
    let mut config = config(&url);
    let checks = config["checks"].as_array_mut().unwrap();
    let members = checks.remove(1);
    checks.push(members);
    let bob = ("hub:bob", "bob@acme.example");
    let found = known(&config, &reached(team(&["ada"])), &[bob]).await;
    assert_eq!(changes(&found), ["team -> present"]);
    assert_eq!(found.accounts["hub:bob"], bob.1);
}

#[tokio::test]
async fn a_list_that_is_not_where_it_should_be_is_not_one_of_nobody() {
    let (url, _) = cloud(&["ada"]).await;
    let http = tool("http");
    let (wanted, nobody) = (reached(team(&["ada"])), team(&[]));
    let with = |at: &str| {
        let mut config = config(&url);
        let members = config["checks"][1]["members"].as_object_mut().unwrap();
        members.insert("at".into(), json!(at));
        members.remove("optional");
        assert_eq!(http.check(&config), []);
        config
    };
    heal(http.as_ref(), &config(&url), &wanted).await;
    assert!(
        look(http.as_ref(), &with("/included"), &wanted)
            .await
            .is_ok()
    );
    // Neither does a team leave it with its people in, nor are all added again.
    for wanted in [&wanted, &nobody] {
        let found = look(http.as_ref(), &with("/includes"), wanted).await;
        let error = found.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        let why = "`members`: the tool could not be asked: its answer has no list at `/includes`";
        assert!(error.message.starts_with(why), "{error}");
        assert!(error.remedy.unwrap().contains("optional"));
    }
    // A list that is left out where it is empty is said to be.
    heal(http.as_ref(), &config(&url), &nobody).await;
    assert!(
        look(http.as_ref(), &with("/included"), &nobody)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn whom_the_tool_does_not_know_takes_nobodys_place() {
    let (url, cloud) = cloud(&["mal", "zed"]).await;
    let (http, config) = (tool("http"), config(&url));
    heal(http.as_ref(), &config, &team(&[])).await;
    let unknown = (0..250).map(|n| format!("p{n:03}"));
    let names: Vec<String> = unknown.chain(["zed".to_owned()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wanted = reached(team(&names));
    let found = look(http.as_ref(), &config, &wanted).await.unwrap();
    assert_eq!(changes(&found), ["members/zed@acme.example -> member"]);
    assert_eq!(found.obstacles.len(), 250);

    // Who is in it without a right does not wait until all are asked about.
    {
        let mut cloud = cloud.lock().unwrap();
        let (own, mal) = (cloud.named(TEAM), cloud.membership("mal"));
        cloud.within.entry(own).or_default().insert(mal);
    }
    let found = look(http.as_ref(), &config, &wanted).await.unwrap();
    assert_eq!(changes(&found), ["members/mal@acme.example -> -"]);
    let more = found.obstacles.last().unwrap();
    assert!(more.ends_with("201 more wait for the next"), "{more}");
}

#[tokio::test]
async fn a_state_names_so_many_and_counts_the_rest() {
    let world = World::new().await;
    let (url, _) = cloud(&[]).await;
    let people = (0..40).map(|n| format!("p{n:02}")).collect();
    *world.source.0.lock().unwrap() = Some(people);
    world.put("terraform", example(&url)).await;
    let status = world.is("payments", "terraform", Step::OutOfStep).await;
    assert_eq!(status.message.matches("is not known there").count(), 30);
    assert!(status.message.ends_with("; and 10 more"), "{status:?}");
    world.driver.shutdown().await;
}
