//! A team becomes a customer, is changed, and is one no longer.

use std::collections::BTreeMap;

use kernel::{Caller, Change, Resource};
use serde_json::{Value, json};
use teams::model::{Namespace, NamespaceSpec, Quota, Team};

use crate::support::Site;

on_both!(
    a_manager_onboards_a_team_and_nobody_else_does,
    what_a_team_cannot_be_is_said_all_at_once,
    how_much_a_team_may_take_is_not_for_managers_to_say,
    of_an_allowance_a_later_part_is_written_where_it_was_changed,
    leads_change_their_team_and_managers_its_group,
    a_manager_gives_nobody_a_team_that_is_somebodys,
    offboarding_is_confirmed_and_ends_all_rights_at_once,
    what_is_left_of_a_team_is_its_peoples_again_and_nobody_elses,
    what_is_there_under_a_name_is_an_operators_to_give,
    environments_are_no_way_around_the_allowance,
    an_interaction_with_a_team_that_is_gone_is_in_nobodys_way,
    a_source_that_is_not_there_is_refused_and_those_there_are_named,
);

const TEAMS: &str = "/v1/platforms/teams";

async fn a_manager_onboards_a_team_and_nobody_else_does(site: Site) {
    site.outside.group("payments", &["ada"]);
    for who in [
        "local:ada",
        "pipeline payments",
        "agent payments",
        "deploy payments",
    ] {
        let (status, answer) = site
            .ask(who, "POST", TEAMS, json!({ "name": "payments" }))
            .await;
        assert_eq!(status, 403, "{who}");
        assert_eq!(answer["problems"][0]["rule"], "authz/manager", "{answer}");
    }
    let team = site
        .onboard(json!({
            "name": "payments", "contact": "#payments", "leads": ["local:ada"],
        }))
        .await;
    assert_eq!(team["spec"]["group"], "payments");
    assert_eq!(team["spec"]["type"], "stream-aligned");
    assert_eq!(
        team["spec"]["environments"],
        json!(["dev", "qa", "preview", "prod"])
    );
    let (status, answer) = site
        .ask("admin", "POST", TEAMS, json!({ "name": "payments" }))
        .await;
    assert_eq!(status, 409, "{answer}");
}

async fn what_a_team_cannot_be_is_said_all_at_once(site: Site) {
    site.onboard(json!({ "name": "shop", "group": "acme/shop" }))
        .await;
    let rules = async |body: Value| {
        let (status, answer) = site.ask("local:max", "POST", TEAMS, body).await;
        assert_eq!(status, 422, "{answer}");
        let problems = answer["problems"].as_array().cloned().unwrap_or_default();
        problems
            .iter()
            .map(|p| p["path"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    for group in [
        "system:masters",
        " System:x",
        "",
        "platform",
        "managers",
        "acme/shop",
    ] {
        assert_eq!(
            rules(json!({ "name": "a", "group": group })).await,
            ["group"],
            "{group}"
        );
    }
    assert_eq!(
        rules(json!({
            "name": "a", "environments": ["dev", "dev", "x y"], "leads": ["ada"],
            "interactions": [{ "with": "none", "mode": "collaboration" }],
        }))
        .await,
        [
            "environments[1]",
            "environments[2]",
            "leads[0]",
            "interactions[0].with"
        ]
    );
    for name in ["", "A", "-a", "a/b", &"a".repeat(41)] {
        rules(json!({ "name": name })).await;
    }
    rules(json!({ "name": "a", "gruop": "a" })).await;
}

async fn how_much_a_team_may_take_is_not_for_managers_to_say(site: Site) {
    let much = json!({ "namespaces": 99, "quota": {
        "requests": { "cpu": 100, "memory": "1Ti" }, "limits": { "cpu": "100", "memory": "1Ti" },
    }});
    let body = json!({ "name": "payments", "allowance": much });
    let (status, _) = site.ask("local:max", "POST", TEAMS, body.clone()).await;
    assert_eq!(status, 403);
    let (status, team) = site.ask("admin", "POST", TEAMS, body).await;
    assert_eq!(status, 202, "{team}");
    assert_eq!(team["spec"]["allowance"]["quota"]["requests"]["cpu"], "100");
}

async fn of_an_allowance_a_later_part_is_written_where_it_was_changed(site: Site) {
    site.onboard(json!({ "name": "payments" })).await;
    let written = async || {
        let team = site.store.expect::<Team>("", "payments").await.unwrap();
        (
            team.spec.allowance.workloads,
            json!(team.spec)["allowance"].clone(),
        )
    };
    let (workloads, mut allowance) = written().await;
    assert_eq!(workloads, 200);
    // A replica that does not know the part reads a team that says nothing of it.
    assert_eq!(allowance["workloads"], Value::Null, "{allowance}");
    allowance["workloads"] = 60.into();
    let change = json!({ "allowance": allowance });
    let path = "/v1/platforms/teams/payments";
    let (status, answer) = site.ask("admin", "PATCH", path, change).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(written().await, (60, allowance));
}

async fn leads_change_their_team_and_managers_its_group(site: Site) {
    site.outside.group("payments", &["ada", "bob"]);
    site.onboard(json!({ "name": "payments", "leads": ["local:ada"] }))
        .await;
    let path = "/v1/platforms/teams/payments";
    let change = async |who: &str, body: Value| site.ask(who, "PATCH", path, body).await;
    for who in ["local:bob", "pipeline payments", "agent payments"] {
        let (status, answer) = change(who, json!({ "contact": "#pay" })).await;
        assert_eq!(status, 403, "{who} {answer}");
    }
    assert_eq!(
        change("local:eve", json!({ "contact": "#pay" })).await.0,
        404
    );
    let (status, team) = change(
        "local:ada",
        json!({ "contact": "#pay", "type": "platform" }),
    )
    .await;
    assert_eq!((status, &team["spec"]["contact"]), (200, &json!("#pay")));
    // Her own words would take in whomever she likes.
    assert_eq!(
        change("local:ada", json!({ "group": "everybody" })).await.0,
        403
    );
    assert_eq!(
        change("local:ada", json!({ "source": "github" })).await.0,
        403
    );
    let mut more = json!({ "allowance": team["spec"]["allowance"] });
    // What stays as it is, she may say again.
    more["group"] = json!("payments");
    more["contact"] = json!("#payments");
    assert_eq!(change("local:ada", more.clone()).await.0, 200);
    more["allowance"]["namespaces"] = json!(99);
    assert_eq!(change("local:ada", more).await.0, 403);
    assert_eq!(
        change("local:max", json!({ "contact": "#max" })).await.0,
        403
    );
}

async fn a_manager_gives_nobody_a_team_that_is_somebodys(site: Site) {
    *site.outside.upstream.lock().unwrap() = Some(BTreeMap::new());
    site.outside.group("payments", &["ada", "bob"]);
    site.outside.group("friends", &["max"]);
    site.onboard(json!({ "name": "payments", "leads": ["local:ada"] }))
        .await;
    let path = "/v1/platforms/teams/payments";
    let change = async |who: &str, body: Value| site.ask(who, "PATCH", path, body).await;
    let taken = [
        json!({ "group": "friends" }),
        json!({ "source": "github" }),
        json!({ "leads": ["local:max"] }),
        json!({ "leads": [] }),
    ];
    for body in &taken {
        let (status, answer) = change("local:max", body.clone()).await;
        assert_eq!(status, 403, "{body} {answer}");
        let why = answer["detail"].as_str().unwrap();
        assert!(why.contains("is somebody's"), "{answer}");
    }
    // Its leads have gone: a manager says who leads it, and no more.
    site.outside.group("payments", &["bob"]);
    let (status, _) = change("local:max", json!({ "leads": ["local:bob"] })).await;
    assert_eq!(status, 200);
    assert_eq!(change("local:max", taken[0].clone()).await.0, 403);
    // Whether somebody has it is not guessed.
    site.outside.groups.lock().unwrap().remove("payments");
    *site.outside.upstream.lock().unwrap() = None;
    assert_eq!(change("local:max", taken[0].clone()).await.0, 503);
    let seen = [("payments".to_owned(), vec!["7".to_owned()])];
    *site.outside.upstream.lock().unwrap() = Some(seen.into());
    assert_eq!(change("local:max", taken[0].clone()).await.0, 403);
    // Renamed at its source.
    *site.outside.upstream.lock().unwrap() = Some(BTreeMap::new());
    assert_eq!(
        change("local:max", json!({ "group": "payments-2" }))
            .await
            .0,
        200
    );
    let told = kernel::EventFilter {
        type_prefix: Some("dev.towpath.team.changed".into()),
        ..kernel::EventFilter::default()
    };
    let events = site.store.events(&told, 0, 10).await.unwrap();
    let last = &events.last().unwrap().data;
    assert_eq!(
        (&last["before"], &last["after"]),
        (
            &json!({ "group": "payments", "source": null, "leads": ["local:bob"] }),
            &json!({ "group": "payments-2", "source": null, "leads": ["local:bob"] }),
        )
    );
    let changed = json!({ "group": { "from": "payments", "to": "payments-2" } });
    assert_eq!(last["changed"], changed);
    // An operator may.
    site.outside.group("payments-2", &["bob"]);
    assert_eq!(change("admin", taken[0].clone()).await.0, 200);
}

async fn offboarding_is_confirmed_and_ends_all_rights_at_once(site: Site) {
    let other = site.replica().await;
    site.outside.group("payments", &["ada", "bob"]);
    site.onboard(json!({ "name": "payments", "leads": ["local:ada"] }))
        .await;
    assert_eq!(other.teams_of("local:bob").await, json!(["payments"]));
    let path = "/v1/platforms/teams/payments";
    let end = async |who: &str, query: &str| {
        site.ask(who, "DELETE", &format!("{path}{query}"), Value::Null)
            .await
    };
    assert_eq!(end("local:bob", "?confirm=payments").await.0, 403);
    assert_eq!(end("local:max", "?confirm=payments").await.0, 403);
    assert_eq!(end("local:ada", "").await.0, 422);
    assert_eq!(end("local:ada", "?confirm=shop").await.0, 422);
    assert_eq!(
        end("local:ada", "?confirm=payments&include=prod").await.0,
        403
    );
    let (status, team) = end("local:ada", "?confirm=payments").await;
    assert_eq!(
        (status, &team["spec"]["offboarding"]["by"]),
        (202, &json!("local:ada"))
    );
    assert_eq!(team["status"]["phase"], "offboarded");
    for replica in [&site, &other] {
        assert_eq!(replica.teams_of("local:ada").await, json!([]));
        assert_eq!(replica.teams_of("pipeline payments").await, json!([]));
    }
    // While something of it remains, it can come back.
    site.onboard(json!({ "name": "payments" })).await;
    assert_eq!(other.teams_of("local:ada").await, json!(["payments"]));
}

async fn what_is_left_of_a_team_is_its_peoples_again_and_nobody_elses(site: Site) {
    site.outside.group("payments", &["ada"]);
    site.outside.group("friends", &["max"]);
    let new = json!({ "name": "payments", "leads": ["local:ada"], "environments": [] });
    site.onboard(new.clone()).await;
    let end = format!("{TEAMS}/payments?confirm=payments");
    let end = async || site.ask("local:ada", "DELETE", &end, Value::Null).await;
    assert_eq!(end().await.0, 202);
    for taken in [
        json!({ "name": "payments", "group": "friends" }),
        json!({ "name": "payments", "source": "github" }),
        json!({ "name": "payments", "leads": ["local:max"] }),
        json!({ "name": "payments", "leads": [] }),
    ] {
        let (status, answer) = site.ask("local:max", "POST", TEAMS, taken.clone()).await;
        assert_eq!(status, 403, "{taken} {answer}");
        let why = answer["detail"].as_str().unwrap();
        assert!(why.contains("was offboarded"), "{answer}");
        assert!(answer["remedy"].is_string(), "{answer}");
    }
    assert_eq!(site.teams_of("local:max").await, json!([]));
    // To say what is so gives nobody anything.
    site.onboard(new).await;
    assert_eq!(site.teams_of("local:ada").await, json!(["payments"]));
    // An operator may.
    assert_eq!(end().await.0, 202);
    let given = json!({ "name": "payments", "group": "friends" });
    let (status, answer) = site.ask("admin", "POST", TEAMS, given).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(site.teams_of("local:max").await, json!(["payments"]));
}

async fn what_is_there_under_a_name_is_an_operators_to_give(site: Site) {
    {
        let mut environments = site.outside.environments.lock().unwrap();
        environments.insert("shed".into(), "ghost".into());
    }
    for (name, why) in [
        ("ghost", "there are environments of a team `ghost` already"),
        ("default", "make without naming a team"),
    ] {
        let body = json!({ "name": name, "group": format!("of-{name}"), "environments": [] });
        let (status, answer) = site.ask("local:max", "POST", TEAMS, body.clone()).await;
        assert_eq!(status, 403, "{name} {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(why), "{answer}");
        assert!(answer["remedy"].is_string(), "{answer}");
        let path = format!("{TEAMS}/{name}");
        assert_eq!(site.get("admin", &path).await.0, 404, "{name}");
        let (status, answer) = site.ask("admin", "POST", TEAMS, body).await;
        assert_eq!(status, 202, "{name} {answer}");
    }
    site.onboard(json!({ "name": "shed", "environments": [] }))
        .await;
}

async fn environments_are_no_way_around_the_allowance(site: Site) {
    site.outside.group("payments", &["ada"]);
    let team = json!({ "name": "payments", "leads": ["local:ada"], "environments": ["dev"] });
    site.onboard(team).await;
    let path = "/v1/platforms/teams/payments";
    let roles = async |roles: &[&str]| {
        let body = json!({ "environments": roles });
        site.ask("local:ada", "PATCH", path, body).await
    };
    let many: Vec<String> = (0..13).map(|n| format!("r{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (status, answer) = roles(&many).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["problems"][0]["path"], "environments");
    // Each begins with a tenth of what a team may take.
    let (status, answer) = roles(&many[..11]).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(answer["problems"][0]["rule"], "namespace/allowance");
    assert_eq!(roles(&many[..10]).await.0, 200);
    // What is a standard namespace no longer is one of the team's own.
    let namespaces = many[..4].iter().map(|role| {
        let spec = NamespaceSpec {
            role: (*role).into(),
            standard: true,
            quota: Quota::NONE,
            ..NamespaceSpec::default()
        };
        Resource::<Namespace>::new("payments", format!("payments-{role}"), spec)
    });
    let mut change = Change::new();
    for namespace in namespaces {
        change.create(&namespace).unwrap();
    }
    site.store.commit(change).await.unwrap();
    assert_eq!(roles(&["r3", "dev"]).await.0, 200);
    assert_eq!(roles(&[]).await.0, 200);
    let (status, answer) = roles(&["qa"]).await;
    assert_eq!(status, 409, "{answer}");
    assert!(
        answer["detail"].as_str().unwrap().contains("4 of 3"),
        "{answer}"
    );
}

async fn an_interaction_with_a_team_that_is_gone_is_in_nobodys_way(site: Site) {
    for name in ["payments", "search"] {
        site.onboard(json!({ "name": name })).await;
    }
    let path = "/v1/platforms/teams/payments";
    let change = async |body: Value| site.ask("admin", "PATCH", path, body).await;
    let with =
        |purpose: &str| json!({ "with": "search", "mode": "collaboration", "purpose": purpose });
    let body = json!({ "interactions": [with("to learn")] });
    assert_eq!(change(body).await.0, 200);
    let search = site.store.expect::<Team>("", "search").await.unwrap();
    let mut end = Change::new();
    end.remove(&search).unwrap();
    site.store.commit(end).await.unwrap();
    assert_eq!(change(json!({ "contact": "#pay" })).await.0, 200);
    let (status, answer) = change(json!({ "interactions": [with("to plan")] })).await;
    assert_eq!(status, 422, "{answer}");
}

async fn a_source_that_is_not_there_is_refused_and_those_there_are_named(site: Site) {
    let refused = |(status, answer): (u16, Value)| {
        assert_eq!(status, 422, "{answer}");
        let problem = &answer["problems"][0];
        assert_eq!(problem["path"], "source", "{answer}");
        let message = "there is no source `githb`; those there are: local, github";
        assert_eq!(problem["message"], message, "{answer}");
        assert!(problem["remedy"].is_string(), "{answer}");
    };
    let new = json!({ "name": "risk", "group": "x", "source": "githb", "environments": [] });
    refused(site.ask("local:max", "POST", TEAMS, new).await);
    let path = format!("{TEAMS}/risk");
    assert_eq!(site.get("admin", &path).await.0, 404);
    for source in ["local", "github"] {
        let new = json!({ "name": source, "source": source, "environments": [] });
        site.onboard(new).await;
    }
    let change = async |body: Value| site.ask("admin", "PATCH", &path, body).await;
    site.onboard(json!({ "name": "risk", "environments": [] }))
        .await;
    refused(change(json!({ "source": "githb" })).await);
    let document = json!({
        "apiVersion": "towpath.dev/v1", "kind": "Team",
        "metadata": { "name": "risk" }, "spec": { "source": "githb" },
    });
    let caller = Caller::local_admin();
    let documents = [("documents[0]".to_owned(), document)];
    let mut written = Change::new();
    let applied = site.teams.apply(&caller, &documents, &mut written).await;
    let error = applied.unwrap_err();
    assert!(error.problems[0].path.ends_with("source"), "{error:?}");
    // The upstream has gone since: that is in nobody's way, until the source is said anew.
    let mut risk = site.store.expect::<Team>("", "risk").await.unwrap();
    risk.spec.source = Some("githb".into());
    let mut gone = Change::new();
    gone.spec(&risk).unwrap();
    site.store.commit(gone).await.unwrap();
    assert_eq!(change(json!({ "contact": "#risk" })).await.0, 200);
    assert_eq!(change(json!({ "source": "" })).await.0, 200);
    refused(change(json!({ "source": "githb" })).await);
}
