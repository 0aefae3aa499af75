//! Names and groups that are one team's alone.

use kernel::{Applied, Caller, CallerKind, Change, ErrorKind};
use serde_json::{Value, json};
use teams::model::{Namespace, Team};

use crate::support::Site;

on_both!(
    of_two_teams_that_ask_for_a_group_at_once_one_has_it,
    a_group_is_one_teams_in_documents_that_are_applied_together,
    a_name_that_somebody_has_is_told_before_anything_is_made,
    the_longest_name_wins,
    a_team_and_the_namespaces_that_it_asks_for_are_written_together,
    who_may_make_a_team_may_ask_for_namespaces_with_it,
    of_a_team_that_is_refused_its_namespaces_are_not_judged,
    which_namespaces_others_have_is_not_told,
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

/// Whichever of the documents stands first.
async fn a_team_and_the_namespaces_that_it_asks_for_are_written_together(site: Site) {
    site.onboard(json!({ "name": "pay", "environments": [] }))
        .await;
    let team = |spec: Value| {
        json!({
            "apiVersion": "towpath.dev/v1", "kind": "Team",
            "metadata": { "name": "pay-ments" }, "spec": spec,
        })
    };
    let request = |name: &str, cpu: u64| {
        let peers = ["pay-nosuch", "pay-ments-dev", "pay-ments-load"]
            .map(|peer| json!({ "fromNamespace": peer }));
        json!({
            "apiVersion": "platform.example.com/v1", "kind": "NamespaceRequest",
            "metadata": { "name": name },
            "spec": {
                "team": "pay-ments", "role": "qa", "quota": { "requests": { "cpu": cpu } },
                "networkPolicies": { "defaultDeny": true, "allowIngress": peers },
            },
        })
    };
    let apply = async |documents: [Value; 2]| {
        let place = |(index, document)| (format!("documents[{index}]"), document);
        let documents: Vec<_> = documents.into_iter().enumerate().map(place).collect();
        let mut change = Change::new();
        let caller = Caller::local_admin();
        let applied = site.teams.apply(&caller, &documents, &mut change).await?;
        site.store.commit(change).await?;
        Ok::<_, kernel::Error>(applied)
    };
    // Beyond what a new team may take: nothing is there.
    let standard = json!({ "environments": ["dev"] });
    let refused = apply([
        request("pay-ments-load", 10),
        team(json!({ "environments": ["a", "b", "c", "d", "e", "f"] })),
    ]);
    let problems = refused.await.unwrap_err().problems;
    assert_eq!(problems[0].path, "documents[0].spec.quota.requests.cpu");

    let applied = apply([request("pay-ments-load", 4), team(standard.clone())]);
    let applied = applied.await.unwrap();
    let kinds: Vec<_> = applied.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["NamespaceRequest", "Team"]);
    // Of those whom it lets in, one is made with the team, one is this, and one there is not.
    let missing = applied[0].missing.as_deref().unwrap();
    assert!(
        missing.starts_with("namespace `pay-nosuch`, which"),
        "{missing}"
    );
    let made = site
        .store
        .expect::<Namespace>("pay-ments", "pay-ments-load")
        .await
        .unwrap();
    assert_eq!(made.spec.role, "qa");
    let quota = json!({
        "requests": { "cpu": "4", "memory": "2Gi" }, "limits": { "cpu": "10", "memory": "20Gi" },
    });
    assert_eq!(json!(made.spec.quota), quota);

    // So they are where the team is changed: what it may have from then on counts.
    let applied = apply([
        request("pay-ments-more", 1),
        team(json!({ "environments": ["dev"], "contact": "#pay" })),
    ]);
    applied.await.unwrap();
    let changed = site.store.expect::<Team>("", "pay-ments").await.unwrap();
    assert_eq!(changed.spec.contact, "#pay");
}

/// Somebody who is no operator.
fn person(name: &str, groups: &[&str], teams: &[&str]) -> Caller {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Caller {
        subject: format!("local:{name}"),
        kind: CallerKind::Person,
        groups: owned(groups),
        teams: owned(teams),
        admin: false,
        ..Caller::local_admin()
    }
}

fn team_document(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "towpath.dev/v1", "kind": "Team", "metadata": { "name": name }, "spec": spec,
    })
}

fn request_document(team: &str, name: &str, spec: Value) -> Value {
    let mut request = json!({
        "apiVersion": "platform.example.com/v1", "kind": "NamespaceRequest",
        "metadata": { "name": name }, "spec": spec,
    });
    request["spec"]["team"] = json!(team);
    request
}

/// What `caller` is answered who applies these.
async fn apply_as(
    caller: &Caller,
    site: &Site,
    documents: impl IntoIterator<Item = Value>,
) -> kernel::Result<Vec<Applied>> {
    let documents = documents.into_iter().enumerate();
    let documents: Vec<(String, Value)> = documents
        .map(|(index, document)| (format!("documents[{index}]"), document))
        .collect();
    let mut change = Change::new();
    let applied = site.teams.apply(caller, &documents, &mut change).await?;
    site.store.commit(change).await?;
    Ok(applied)
}

async fn who_may_make_a_team_may_ask_for_namespaces_with_it(site: Site) {
    let manager = person("max", &["managers"], &[]);
    let team = || team_document("pay", json!({ "environments": ["dev"] }));
    // How much of the allowance is a namespace's is the team's own to say.
    let more = json!({ "quota": { "requests": { "cpu": 3 } } });
    let documents = [team(), request_document("pay", "pay-load", more)];
    let refused = apply_as(&manager, &site, documents).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Forbidden, "{refused}");

    let documents = [request_document("pay", "pay-load", json!({})), team()];
    apply_as(&manager, &site, documents).await.unwrap();
    let made = site.store.expect::<Namespace>("pay", "pay-load").await;
    assert_eq!(made.unwrap().spec.role, "dev");

    // So is what it has beside, once it is there.
    for documents in [
        vec![request_document("pay", "pay-more", json!({}))],
        vec![team(), request_document("pay", "pay-more", json!({}))],
    ] {
        let refused = apply_as(&manager, &site, documents).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Forbidden, "{refused}");
    }
}

async fn of_a_team_that_is_refused_its_namespaces_are_not_judged(site: Site) {
    site.onboard(json!({ "name": "pay" })).await;
    let admin = Caller::local_admin();
    // Its group is another team's; nobody knows such a field.
    for spec in [json!({ "group": "pay" }), json!({ "grup": "shop" })] {
        let documents = [
            request_document("shop", "shop-load", json!({})),
            team_document("shop", spec),
        ];
        let refused = apply_as(&admin, &site, documents).await.unwrap_err();
        let problems = &refused.problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].path.starts_with("documents[1].spec"),
            "{problems:?}"
        );
    }
}

async fn which_namespaces_others_have_is_not_told(site: Site) {
    for name in ["pay", "shop"] {
        site.onboard(json!({ "name": name, "environments": ["dev"] }))
            .await;
    }
    let letting_in = |names: &[&str]| {
        let peers = names.iter().map(|name| json!({ "fromNamespace": name }));
        let peers: Vec<_> = peers.collect();
        let policies = json!({ "defaultDeny": true, "allowIngress": peers });
        let spec = json!({ "networkPolicies": policies });
        [request_document("pay", "pay-load", spec)]
    };
    let peers = ["shop-dev", "shop-nosuch", "pay-dev", "shop-dev"];
    for (caller, expected) in [
        (
            person("ada", &[], &["pay"]),
            "namespace `shop-dev`, `shop-nosuch`, which",
        ),
        (Caller::local_admin(), "namespace `shop-nosuch`, which"),
    ] {
        let applied = apply_as(&caller, &site, letting_in(&peers)).await.unwrap();
        let missing = applied[0].missing.as_deref().unwrap();
        assert!(missing.starts_with(expected), "{missing}");
    }

    let many = ["shop-dev"; 101];
    let admin = Caller::local_admin();
    apply_as(&admin, &site, letting_in(&many[1..]))
        .await
        .unwrap();
    let refused = apply_as(&admin, &site, letting_in(&many))
        .await
        .unwrap_err();
    assert_eq!(
        refused.problems[0].path,
        "documents[0].spec.networkPolicies.allowIngress"
    );
}
