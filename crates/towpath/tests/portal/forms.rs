//! What people do by forms: teams join, members come and go.

use reqwest::Method;
use serde_json::Value;

use crate::world::{furnished, submit};

#[tokio::test]
async fn a_team_joins_by_one_form() {
    let world = furnished(&[]).await;
    let max = world.visit("max").await;
    let home = world.open(&max, "/portal/").await;
    assert!(
        home.body.contains("href=\"/portal/onboard\""),
        "{}",
        home.body
    );
    let form = world.open(&max, "/portal/onboard").await;
    for role in ["dev", "qa", "preview", "prod"] {
        let checked = format!("value=\"{role}\" checked");
        assert!(form.body.contains(&checked), "{role}: {}", form.body);
    }

    // Wrong in several places: each is told of where it is, and what was typed is still there.
    let action = "/portal/onboard";
    let wrong = [
        ("name", "checkout"),
        ("group", "system:masters"),
        ("leads", "local:max\r\nnobody"),
        ("contact", "#checkout \"us\""),
        ("environments", "dev"),
    ];
    let refused = submit(&max, &form, action, &wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    let at = |field: &str| {
        let (_, rest) = refused
            .body
            .split_once(&format!("id=\"{field}-error\""))
            .unwrap();
        rest.split("</div>").next().unwrap().to_owned()
    };
    assert!(
        at("group").contains("group cannot be <code>system:masters</code>"),
        "{}",
        at("group")
    );
    assert!(
        at("leads").contains("<code>nobody</code> is no subject: write SOURCE:ID"),
        "{}",
        at("leads")
    );
    assert!(!refused.body.contains("name-error"), "{}", refused.body);
    for kept in [
        "value=\"checkout\"",
        "value=\"system:masters\"",
        "local:max\nnobody</textarea>",
        "value=\"#checkout &quot;us&quot;\"",
        "value=\"dev\" checked",
    ] {
        assert!(refused.body.contains(kept), "{kept}: {}", refused.body);
    }
    assert!(
        !refused.body.contains("value=\"qa\" checked"),
        "{}",
        refused.body
    );
    let wrong = [("name", "Check Out"), ("environments", "dev")];
    let refused = submit(&max, &refused, action, &wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(
        refused.body.contains("id=\"name-error\""),
        "{}",
        refused.body
    );
    assert!(
        refused
            .body
            .contains("<code>Check Out</code> is not a name"),
        "{}",
        refused.body
    );
    let taken = [("name", "payments"), ("environments", "dev")];
    let refused = submit(&max, &refused, action, &taken).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(
        refused.body.contains("another team has this name"),
        "{}",
        refused.body
    );

    let nowhere = [("name", "checkout"), ("contact", "#checkout")];
    let refused = submit(&max, &refused, action, &nowhere).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    for said in [
        "id=\"environments-error\"",
        "hoose at least one",
        "value=\"#checkout\"",
    ] {
        assert!(refused.body.contains(said), "{said}: {}", refused.body);
    }
    let made = world.told("team.created").await;
    assert!(
        !made.iter().any(|(_, subject)| subject == "Team/checkout"),
        "{made:?}"
    );

    let good = [
        ("name", "checkout"),
        ("description", "sells"),
        ("type", "platform"),
        ("leads", "local:max, local:bob"),
        ("environments", "dev"),
        ("environments", "qa"),
    ];
    let joined = submit(&max, &refused, action, &good).await;
    assert_eq!(joined.status, 200, "{}", joined.body);
    assert_eq!(joined.url.path(), "/portal/teams/checkout");
    assert!(joined.body.contains("is onboarded"), "{}", joined.body);
    let team = world.ready("checkout").await;
    assert_eq!(
        team["spec"]["environments"],
        serde_json::json!(["dev", "qa"])
    );
    assert_eq!(team["spec"]["type"], "platform");
    assert_eq!(team["spec"]["group"], "checkout");
    let made = world.told("team.created").await;
    assert!(
        made.contains(&("local:max".into(), "Team/checkout".into())),
        "the person did it: {made:?}"
    );
    // The group was made with its leads: bob is in the team, and leads it.
    let bob = world.visit("bob").await;
    let page = world.open(&bob, "/portal/teams/checkout").await;
    for shown in [
        "Namespaces",
        "checkout-dev",
        "checkout-qa",
        "*.checkout-dev.localhost",
        "as it should be",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
}

#[tokio::test]
async fn who_may_not_is_not_offered_it_and_refused_all_the_same() {
    let world = furnished(&[]).await;
    let ada = world.visit("ada").await;
    let home = world.open(&ada, "/portal/").await;
    assert!(!home.body.contains("/portal/onboard"), "{}", home.body);
    let page = world.open(&ada, "/portal/teams/payments").await;
    assert!(
        !page
            .body
            .contains("action=\"/portal/teams/payments/members\""),
        "{}",
        page.body
    );
    let csrf = page.field("csrf");
    for (path, fields) in [
        (
            "/portal/onboard",
            &[("name", "mine"), ("environments", "dev")][..],
        ),
        ("/portal/teams/payments/members", &[("user", "eve")]),
        ("/portal/teams/payments/members/remove", &[("user", "lea")]),
    ] {
        let fields = [&[("csrf", csrf.as_str())], fields].concat();
        let refused = ada.send(&page, path, &fields).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.body);
        assert!(refused.body.contains("What to do: "), "{}", refused.body);
    }
    assert_eq!(
        world
            .ask(Method::GET, "/v1/platforms/teams/mine", Value::Null)
            .await
            .0,
        404
    );
    let refused = world.told("authorization.refused").await;
    // Both changes of the members are the same refusal, which is told once and counted.
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(
        refused.iter().all(|(actor, _)| actor == "local:ada"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn members_come_and_go_and_their_access_with_them() {
    let world = furnished(&[]).await;
    let (lea, bob) = (world.visit("lea").await, world.visit("bob").await);
    let team = "/portal/teams/payments";
    let home = world.open(&bob, "/portal/").await;
    assert!(home.body.contains("You are in no team"), "{}", home.body);
    assert!(
        home.body.contains("<code>local:bob</code>"),
        "{}",
        home.body
    );
    assert_eq!(bob.go(&world.at(team)).await.status, 404);

    let page = world.open(&lea, team).await;
    let members = "/portal/teams/payments/members";
    let refused = submit(&lea, &page, members, &[("user", "no\"body")]).await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(
        refused.body.contains("id=\"user-error\""),
        "{}",
        refused.body
    );
    assert!(
        refused.body.contains("value=\"no&quot;body\""),
        "{}",
        refused.body
    );
    let refused = submit(&lea, &page, members, &[("user", "  ")]).await;
    assert_eq!(refused.status, 422, "{refused:?}");

    let added = submit(&lea, &page, members, &[("user", "bob")]).await;
    assert_eq!(added.url.path(), team, "{}", added.body);
    assert!(
        added.body.contains("<code>local:bob</code>"),
        "{}",
        added.body
    );
    // From the next click on.
    let page = world.open(&bob, team).await;
    assert!(page.body.contains("payments-dev"), "{}", page.body);

    let remove = "/portal/teams/payments/members/remove";
    let confirm = world.open(&lea, &format!("{remove}?user=bob")).await;
    assert!(
        confirm.body.contains("Remove bob from payments?"),
        "{}",
        confirm.body
    );
    world.open(&bob, team).await;
    let removed = submit(&lea, &confirm, remove, &[("user", "bob")]).await;
    assert_eq!(removed.url.path(), team, "{}", removed.body);
    assert!(
        !removed.body.contains("<code>local:bob</code>"),
        "{}",
        removed.body
    );
    // At the next click, and no later.
    assert_eq!(bob.go(&world.at(team)).await.status, 404);
    let home = world.open(&bob, "/portal/").await;
    assert!(home.body.contains("You are in no team"), "{}", home.body);
    assert_eq!(
        lea.go(&world.at(&format!("{remove}?user=bob")))
            .await
            .status,
        404
    );

    // Who takes themselves out sees the team no more, and is told so.
    let confirm = world.open(&lea, &format!("{remove}?user=lea")).await;
    let gone = submit(&lea, &confirm, remove, &[("user", "lea")]).await;
    assert_eq!((gone.status, gone.url.path()), (200, "/portal/"));
    assert!(
        gone.body.contains("You are out of the team"),
        "{}",
        gone.body
    );
    let removed = world.told("team.member-removed").await;
    assert_eq!(removed.len(), 2);
    assert!(
        removed.iter().all(|(actor, _)| actor == "local:lea"),
        "{removed:?}"
    );
}
