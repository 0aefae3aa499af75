//! Whoever is taken into a team, or out of it, while others are.

use reqwest::Method;
use serde_json::{Value, json};

use crate::site::world::World;

#[tokio::test]
async fn many_are_taken_in_and_out_at_once() {
    many_at_once(&World::new(&[]).await).await;
}

#[tokio::test]
async fn many_are_taken_in_and_out_at_once_on_postgres() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    many_at_once(&World::new(&["--store", &database.url]).await).await;
}

async fn many_at_once(world: &World) {
    let mut people: Vec<_> = (0..30).map(|number| format!("user-{number}")).collect();
    people.sort();
    world.people("others", &people).await;
    world
        .onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    for (method, left) in [(Method::PUT, json!(people)), (Method::DELETE, json!([]))] {
        let all = people.iter().map(|person| {
            let path = format!("/v1/platforms/teams/payments/members/{person}");
            let method = method.clone();
            async move { world.ask(method, &path, Value::Null).await }
        });
        for (status, answer) in futures::future::join_all(all).await {
            assert_eq!(status, 204, "{method}: {answer}");
        }
        let group = world.get("/v1/identity/groups/payments").await;
        assert_eq!(group["spec"]["members"], left, "{method}");
    }
}

#[tokio::test]
async fn operators_at_once_lose_nothing_of_each_others_changes() {
    let world = &World::new(&[]).await;
    let people: Vec<_> = (0..10).map(|number| format!("user-{number}")).collect();
    world.people("others", &people).await;
    let adds = people.iter().map(|person| async move {
        let ended = world.site.cli(&["group", "add", "crew", person]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    });
    futures::future::join_all(adds).await;
    let group = world.get("/v1/identity/groups/crew").await;
    assert_eq!(group["spec"]["members"], json!(people));
    // Of several, those before the one that fails are said to be done.
    for (verb, said) in [
        ("add", "already in the group: user-0, user-1"),
        ("remove", "already out of the group: user-0, user-1"),
    ] {
        let several = ["group", verb, "few", "user-0", "user-1", "nobody", "user-2"];
        let ended = world.site.cli(&several).await;
        assert_ne!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains(said), "{ended:?}");
        assert!(!ended.err.contains("user-2"), "{ended:?}");
    }

    // Read, and written back as a whole.
    let names: Vec<_> = (0..6).map(|number| format!("key{number}=value")).collect();
    let sets = names.iter().map(|parameter| async move {
        let set = [
            "cluster",
            "set",
            "prod",
            "--endpoint",
            "https://10.0.0.1:6443",
        ];
        let set = [&set[..], &["--parameter", parameter]].concat();
        let ended = world.site.cli(&set).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    });
    futures::future::join_all(sets).await;
    let cluster = world.get("/v1/clusters/prod").await;
    let known = cluster["spec"]["parameters"].as_object().unwrap();
    assert_eq!(known.len(), names.len(), "{known:?}");
}

#[tokio::test]
async fn the_group_of_a_team_goes_only_where_somebody_says_it_twice() {
    let world = World::new(&[]).await;
    world
        .people("payments", &["ada".into(), "bob".into()])
        .await;
    world.people("crew", &["ada".into()]).await;
    world.people("others", &["ada".into()]).await;
    world
        .onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    let delete = async |more: &[&str]| {
        let all = [&["group", "delete"][..], more].concat();
        world.site.cli(&all).await
    };
    assert_eq!(delete(&["others"]).await.code, 0);
    for (arguments, said) in [
        (&["payments"][..], "is not confirmed: it is the group of"),
        (
            &["payments", "--confirm", "crew"],
            "not confirmed by `crew`",
        ),
    ] {
        let ended = delete(arguments).await;
        assert_eq!(ended.code, 3, "{ended:?}");
        for said in [said, "team `payments`", "2 people", "--confirm payments"] {
            assert!(ended.err.contains(said), "{said}: {ended:?}");
        }
    }
    let group = world.get("/v1/identity/groups/payments").await;
    assert_eq!(group["spec"]["members"], json!(["ada", "bob"]));
    let ended = delete(&["payments", "--confirm", "payments"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");

    // A team that is a customer no longer gives nobody anything.
    let shop = json!({ "name": "shop", "group": "crew", "environments": [] });
    world.onboard(shop).await;
    assert_eq!(delete(&["crew"]).await.code, 3);
    let offboard = ["team", "offboard", "shop", "--confirm", "shop"];
    let ended = world.site.cli(&offboard).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(delete(&["crew"]).await.code, 0);
}
