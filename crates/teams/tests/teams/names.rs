//! Names and groups that are one team's alone.

use serde_json::{Value, json};

use crate::support::Site;

on_both!(
    of_two_teams_that_ask_for_a_group_at_once_one_has_it,
    a_group_is_one_teams_in_documents_that_are_applied_together,
    a_name_that_somebody_has_is_told_before_anything_is_made,
    the_longest_name_wins,
);

const TEAMS: &str = "/v1/platforms/teams";

/// The problems of an answer: path and message.
fn problems(answer: &Value) -> Vec<(&str, &str)> {
    let all = answer["problems"].as_array().unwrap().iter();
    all.map(|one| {
        (
            one["path"].as_str().unwrap(),
            one["message"].as_str().unwrap(),
        )
    })
    .collect()
}

async fn of_two_teams_that_ask_for_a_group_at_once_one_has_it(site: Site) {
    let replica = site.replica().await;
    for round in 0..20 {
        let group = format!("acme/group-{round}");
        let body = |side: &str| json!({ "name": format!("team-{side}-{round}"), "group": group, "environments": [] });
        let (one, other) = tokio::join!(
            site.ask("local:max", "POST", TEAMS, body("a")),
            replica.ask("local:max", "POST", TEAMS, body("b")),
        );
        let mut statuses = [one.0, other.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 422], "{one:?} {other:?}");
        let refused = if one.0 == 422 { one.1 } else { other.1 };
        let (path, message) = problems(&refused)[0];
        assert_eq!(path, "group");
        assert!(message.contains("is that of team"), "{message}");
    }
    // So it is for those who change theirs.
    for side in ["a", "b"] {
        site.onboard(json!({ "name": side, "group": format!("of-{side}"), "environments": [] }))
            .await;
    }
    let path = |side: &str| format!("{TEAMS}/{side}");
    let body = json!({ "group": "acme/both" });
    let (a, b) = (path("a"), path("b"));
    let (one, other) = tokio::join!(
        site.ask("admin", "PATCH", &a, body.clone()),
        replica.ask("admin", "PATCH", &b, body),
    );
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422], "{one:?} {other:?}");
    // What somebody has let go of is to be had at once.
    let (winner, other) = if one.0 == 200 { (a, b) } else { (b, a) };
    let change = async |path: &str, group: &str| {
        let answer = site.ask("admin", "PATCH", path, json!({ "group": group }));
        let (status, answer) = answer.await;
        assert_eq!(status, 200, "{answer}");
    };
    change(&winner, "acme/another").await;
    change(&other, "acme/both").await;
    change(&winner, "acme/once-more").await;
}

async fn a_group_is_one_teams_in_documents_that_are_applied_together(site: Site) {
    let document = |name: &str| {
        let document = json!({
            "apiVersion": "towpath.dev/v1", "kind": "Team",
            "metadata": { "name": name }, "spec": { "group": "acme/same" },
        });
        (format!("documents[{name}]"), document)
    };
    let caller = kernel::Caller::local_admin();
    let mut change = kernel::Change::new();
    let documents = [document("one"), document("two")];
    let refused = site.teams.apply(&caller, &documents, &mut change).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.problems[0].path, "documents[two].spec.group");
    assert!(
        refused.problems[0].message.contains("team `one`"),
        "{refused:?}"
    );
}

async fn a_name_that_somebody_has_is_told_before_anything_is_made(site: Site) {
    let has = |name: &str, team: &str| {
        let mut environments = site.outside.environments.lock().unwrap();
        environments.insert(name.into(), team.into());
    };
    has("payments-qa", "shop");
    has("payments-dev", "payments");
    let body = json!({ "name": "payments" });
    let (status, answer) = site.ask("admin", "POST", TEAMS, body).await;
    assert_eq!(status, 422, "{answer}");
    let all = problems(&answer);
    assert_eq!(
        all,
        [(
            "environments[1]",
            "the name `payments-qa` is taken by an environment of somebody else"
        )]
    );
    assert_eq!(site.get("admin", &format!("{TEAMS}/payments")).await.0, 404);
    // Without that role, or once the name is free, nothing is in the way.
    let body = json!({ "name": "payments", "environments": ["dev"] });
    assert_eq!(site.ask("admin", "POST", TEAMS, body).await.0, 202);
    let path = format!("{TEAMS}/payments");
    let all = json!({ "environments": ["dev", "qa"] });
    let change = async || site.ask("admin", "PATCH", &path, all.clone()).await;
    assert_eq!(change().await.0, 422);
    site.outside.environments.lock().unwrap().clear();
    assert_eq!(change().await.0, 200);
    has("payments-load", "shop");
    let namespaces = "/v1/teams/payments/namespaces";
    let load = json!({ "name": "payments-load" });
    let (status, answer) = site.ask("admin", "POST", namespaces, load).await;
    assert_eq!(status, 409, "{answer}");
}

async fn the_longest_name_wins(site: Site) {
    let make = async |team: &str, name: &str| {
        let path = format!("/v1/teams/{team}/namespaces");
        site.ask("admin", "POST", &path, json!({ "name": name }))
            .await
    };
    site.onboard(json!({ "name": "pay", "environments": [] }))
        .await;
    assert_eq!(make("pay", "pay-ments-dev").await.0, 202);
    // What the other has already is not this team's.
    let body = json!({ "name": "pay-ments", "environments": ["dev"] });
    let (status, answer) = site.ask("local:max", "POST", TEAMS, body).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(
        problems(&answer)[0].1,
        "the name `pay-ments-dev` is that of a namespace of somebody else"
    );
    site.onboard(json!({ "name": "pay-ments", "environments": ["qa"] }))
        .await;
    let (status, answer) = make("pay", "pay-ments-load").await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(make("pay-ments", "pay-ments-load").await.0, 202);
    assert_eq!(make("pay", "pay-load").await.0, 202);
    let path = format!("{TEAMS}/pay");
    let body = json!({ "environments": ["ments-load"] });
    let (status, answer) = site.ask("admin", "PATCH", &path, body).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(problems(&answer)[0].0, "environments[0]");
}
