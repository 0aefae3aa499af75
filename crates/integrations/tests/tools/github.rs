//! A team at GitHub, its repositories, and what being asked costs.

use kernel::ErrorKind;
use serde_json::{Value, json};
use teams::{model::Step, tool::Wanted};

use crate::{
    hub::{Limit, github},
    reconcile::{SOON, World},
    support::{CREDENTIAL, heal, look, seen, team, tool},
};

#[tokio::test]
async fn a_team_is_made_and_kept_as_its_members_are() {
    let (url, org) = github().await;
    let github = tool("github");
    let config = json!({ "org": "acme", "url": url, "logins": { "ada": "Ada-Lovelace" } });
    for login in ["ada-lovelace", "bob", "cy", "dan", "eve"] {
        org.lock().unwrap().people.insert(login.into());
    }
    let wanted = team(&["ada*", "bob", "cy", "dan", "new"]);
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(
        healed,
        [
            "team: - -> payments",
            "members/ada-lovelace: - -> maintainer",
            "members/bob: - -> member",
            "members/cy: - -> member",
            "members/dan: - -> member",
            "members/new: - -> member",
        ]
    );
    // By hand: somebody too many, one too few, one with too much.
    {
        let mut org = org.lock().unwrap();
        org.members.insert("eve".into(), "member".into());
        org.members.remove("bob");
        org.members.insert("cy".into(), "maintainer".into());
        // Who owns the organization maintains all teams: that cannot be mended, and need not be.
        org.owners.insert("dan".into());
    }
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(
        healed,
        [
            "members/bob: - -> member",
            "members/cy: maintainer -> member",
            "members/eve: member -> -",
        ]
    );
    // Where not all members are known, nobody is taken out.
    let mut partial = team(&["ada*"]);
    partial.complete = false;
    let found = look(github.as_ref(), &config, &partial).await.unwrap();
    assert_eq!(found.repairs, []);
}

#[tokio::test]
async fn the_rule_of_signed_commits_is_made_and_kept() {
    let (url, org) = github().await;
    let github = tool("github");
    org.lock().unwrap().teams.insert("payments".into());
    let config = json!({ "org": "acme", "url": url, "signedCommits": true });
    let wanted = team(&[]);
    let healed = heal(github.as_ref(), &config, &wanted).await;
    let rule = "required on the default branch";
    let what = "repositories/checkout/signed-commits";
    assert_eq!(healed, [format!("{what}: - -> {rule}")]);
    org.lock().unwrap().rulesets[0]["enforcement"] = json!("disabled");
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(healed, [format!("{what}: changed, disabled -> {rule}")]);
    let rulesets = org.lock().unwrap().rulesets.clone();
    assert_eq!(rulesets.len(), 1);
    assert_eq!(
        rulesets[0]["rules"],
        json!([{ "type": "required_signatures" }])
    );
}

#[tokio::test]
async fn a_reached_limit_is_no_answer_and_heeded_for_all_teams() {
    for limit in [Limit::Spent, Limit::Secondary, Limit::Last] {
        let (url, org) = github().await;
        org.lock().unwrap().limited = Some(limit);
        org.lock().unwrap().teams.insert("payments".into());
        let config = json!({ "org": "acme", "url": url });
        let github = tool("github");
        for name in ["payments", "checkout", "search"] {
            let other = Wanted {
                name: name.into(),
                ..team(&["ada"])
            };
            let error = look(github.as_ref(), &config, &other).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
            assert!(error.message.contains("limit of requests"), "{error:?}");
        }
        // The first was told of it; the others did not have to ask.
        assert_eq!(org.lock().unwrap().requests, 1, "{limit:?}");
    }
}

#[tokio::test]
async fn when_the_limit_has_passed_it_is_asked_again() {
    let (url, org) = github().await;
    org.lock().unwrap().limited = Some(Limit::Wait);
    org.lock().unwrap().teams.insert("payments".into());
    let config = json!({ "org": "acme", "url": url });
    let github = tool("github");
    let wanted = team(&["ada"]);
    assert!(look(github.as_ref(), &config, &wanted).await.is_err());
    org.lock().unwrap().limited = None;
    assert!(look(github.as_ref(), &config, &wanted).await.is_err());
    assert_eq!(org.lock().unwrap().requests, 1);
    testkit::eventually("it is asked again", SOON, async || {
        look(github.as_ref(), &config, &wanted).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_away_is_no_answer() {
    let config = json!({ "org": "acme", "url": "http://127.0.0.1:1" });
    let error = look(tool("github").as_ref(), &config, &team(&["ada"])).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Unavailable);
}

#[test]
fn a_configuration_is_checked() {
    let github = tool("github");
    for bad in [
        json!({}),
        json!({ "org": "acme", "orgs": "x" }),
        json!({ "org": "acme", "url": "http://10.0.0.1" }),
    ] {
        assert_eq!(github.check(&bad).len(), 1, "{bad}");
    }
    assert!(github.check(&json!({ "org": "acme" })).is_empty());
}

/// GitHub says 404 of what the credential may not see, too.
#[tokio::test]
async fn what_is_hidden_in_a_team_that_is_there_is_no_answer() {
    let (url, org) = github().await;
    org.lock().unwrap().teams.insert("payments".into());
    let config = json!({ "org": "acme", "url": url, "signedCommits": true });
    for hidden in ["/members", "/invitations", "/repos", "/rulesets"] {
        org.lock().unwrap().hidden = Some(hidden);
        let error = look(tool("github").as_ref(), &config, &team(&[])).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{hidden}: {error:?}");
    }
    org.lock().unwrap().hidden = None;
    assert!(
        look(tool("github").as_ref(), &config, &team(&[]))
            .await
            .is_ok()
    );
}

/// A name that somebody has here is anybody's at GitHub.
#[tokio::test]
async fn who_does_not_log_in_by_github_has_the_login_that_is_configured_or_none() {
    let (url, org) = github().await;
    org.lock().unwrap().teams.insert("payments".into());
    let config = json!({ "org": "acme", "url": url, "logins": { "bob": "bob-at-acme" } });
    let mut wanted = team(&["ada", "bob", "cy"]);
    for member in &mut wanted.members[..2] {
        member.account = None;
    }
    let found = look(tool("github").as_ref(), &config, &wanted)
        .await
        .unwrap();
    let whats: Vec<_> = found.repairs.iter().map(|one| &*one.what).collect();
    assert_eq!(whats, ["members/bob-at-acme", "members/cy"]);
    let message = "`ada` has no known login at GitHub: name it in `config.logins`";
    assert_eq!(found.obstacles, [message]);
}

#[tokio::test]
async fn copies_of_secrets_and_more_than_one_value_are_told() {
    let world = World::new().await;
    let (url, org) = github().await;
    {
        let mut org = org.lock().unwrap();
        org.secrets = vec!["API_KEY".into(), "OTHER".into()];
        org.people = ["ada".into(), "bob".into()].into();
    }
    let new = json!({
        "type": "github",
        "credential": CREDENTIAL,
        "config": {
            "org": "acme", "url": url, "logins": { "ada": "ada", "bob": "bob" }, "auditSecrets": true,
        },
    });
    world.put("code", new).await;
    // It is in step all the same: what people keep there is theirs to mend.
    let status = world.is("payments", "code", Step::InStep).await;
    assert_eq!(
        status.violations,
        [
            "repository `checkout` keeps `API_KEY`, as the team's secret `stripe/api-key` is called: fetch \
             it with `towpath secrets run`, and remove it there",
            "repository `checkout` keeps 3 values (`API_KEY`, `OTHER`, `TOWPATH_TOKEN`): the one by which it \
             reaches the team's secrets is enough",
        ]
    );
    let told = async || -> Vec<Value> {
        let told = world.told().await.into_iter();
        let told = told.filter(|(kind, _)| kind == "violation");
        told.map(|(_, data)| data["violations"].clone()).collect()
    };
    assert_eq!(told().await, [json!(status.violations)]);
    // Mended, and told once. A look that is under way meanwhile may have read the first page before, and the
    // second after: it tells what it saw.
    org.lock().unwrap().secrets.clear();
    world.sync().await;
    testkit::eventually("it is mended", SOON, async || {
        let status = world.is("payments", "code", Step::InStep).await;
        status.violations.is_empty().then_some(())
    })
    .await;
    let told = told().await;
    let mended = told.iter().filter(|violations| **violations == json!([]));
    assert_eq!((mended.count(), told.last()), (1, Some(&json!([]))));
    world.driver.shutdown().await;
}

/// What has not changed is not counted: neither of members nor of what is looked at beside them.
#[tokio::test]
async fn a_team_that_is_in_step_costs_nothing_of_the_limit() {
    let (url, org) = github().await;
    let github = tool("github");
    let config = json!({
        "org": "acme", "url": url, "signedCommits": true, "auditSecrets": true,
    });
    let members = json!({ "org": "acme", "url": url });
    for login in ["ada", "bob", "cy", "dan"] {
        org.lock().unwrap().people.insert(login.into());
    }
    // Of more than one page.
    let mut wanted = team(&["ada*", "bob", "cy", "dan"]);
    wanted.secrets = Some(vec!["stripe/api-key".into()]);
    heal(github.as_ref(), &config, &wanted).await;
    // Whoever is looked at again has nothing to mend, and the same violations.
    let before = look(github.as_ref(), &config, &wanted).await.unwrap();
    let costs = async |config: &Value| {
        let (counted, requests) = {
            let org = org.lock().unwrap();
            (org.counted, org.requests)
        };
        let found = look(github.as_ref(), config, &wanted).await.unwrap();
        let org = org.lock().unwrap();
        (found, org.counted - counted, org.requests - requests)
    };
    let (found, counted, _) = costs(&config).await;
    assert_eq!((found, counted), (before, 0));
    // Maintainers, two pages of members, invitations.
    let (found, counted, requests) = costs(&members).await;
    assert_eq!((found.repairs.len(), counted, requests), (0, 0, 4));
    // By hand: that is seen, and costs what has changed, and who may excuse it.
    org.lock()
        .unwrap()
        .members
        .insert("bob".into(), "maintainer".into());
    let (found, counted, _) = costs(&members).await;
    assert_eq!(found.repairs[0].what, "members/bob");
    assert!((1..=4).contains(&counted), "{counted}");
    heal(github.as_ref(), &config, &wanted).await;
    look(github.as_ref(), &config, &wanted).await.unwrap();
    assert_eq!(costs(&members).await.1, 0);
    // Another replica, which knows nothing yet, asks once.
    let other = tool("github");
    let counted = org.lock().unwrap().counted;
    for _ in 0..3 {
        look(other.as_ref(), &members, &wanted).await.unwrap();
    }
    assert_eq!(org.lock().unwrap().counted - counted, 4);
}

/// GitHub lists them among the members of the team above, and nothing that is done to it takes them out.
#[tokio::test]
async fn who_is_in_a_team_below_is_no_stranger() {
    let (url, org) = github().await;
    let github = tool("github");
    let config = json!({ "org": "acme", "url": url });
    {
        let mut org = org.lock().unwrap();
        org.teams.insert("payments".into());
        for login in ["ada", "bob", "eve"] {
            org.people.insert(login.into());
        }
        let below = ["cy", "dan", "fay"].map(str::to_owned);
        org.below.insert("payments-cards".into(), below.into());
    }
    let wanted = team(&["ada*", "bob"]);
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(
        healed,
        ["members/ada: - -> maintainer", "members/bob: - -> member"]
    );
    // Strangers are told apart from them, and so is whoever is in both.
    {
        let mut org = org.lock().unwrap();
        org.members.insert("eve".into(), "member".into());
        org.members.insert("cy".into(), "member".into());
    }
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(healed, ["members/eve: member -> -"]);
    let found = look(github.as_ref(), &config, &wanted).await.unwrap();
    assert_eq!((found.repairs.len(), found.obstacles.len()), (0, 0));
    // Out of the one below, they are strangers as any other.
    org.lock().unwrap().below.clear();
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(healed, ["members/cy: member -> -"]);
    // Which teams there are below must be seen to judge anybody.
    {
        let mut org = org.lock().unwrap();
        org.members.insert("eve".into(), "member".into());
        org.hidden = Some("/teams");
    }
    let error = look(github.as_ref(), &config, &wanted).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
}

/// A login that somebody gave up is free to be taken.
#[tokio::test]
async fn whoever_has_somebodys_former_login_is_not_let_in() {
    let (url, org) = github().await;
    let github = tool("github");
    let config = json!({ "org": "acme", "url": url });
    {
        let mut org = org.lock().unwrap();
        org.teams.insert("payments".into());
        org.people = ["ada".into(), "bob".into(), "ada-lovelace".into()].into();
        org.ids = [
            ("ada".into(), 99),
            ("ada-lovelace".into(), 7),
            ("bob".into(), 8),
        ]
        .into();
    }
    let of = |logins: [&str; 2]| {
        let mut wanted = team(&logins);
        for (member, id) in wanted.members.iter_mut().zip([7, 8]) {
            member.subject = format!("hub:{id}");
        }
        wanted
    };
    let wanted = of(["ada", "bob"]);
    let found = look(github.as_ref(), &config, &wanted).await.unwrap();
    let whats: Vec<_> = found.repairs.iter().map(|one| &*one.what).collect();
    assert_eq!(whats, ["members/bob"]);
    assert!(found.obstacles[0].contains("`ada` at GitHub"), "{found:?}");
    assert!(!found.accounts.contains_key("hub:7"), "{found:?}");
    // Nor do they stay, who were let in by hand, or before.
    org.lock()
        .unwrap()
        .members
        .insert("ada".into(), "member".into());
    let found = look(github.as_ref(), &config, &wanted).await.unwrap();
    let removed = found.repairs.iter().find(|one| one.wanted.is_none());
    assert_eq!(removed.unwrap().what, "members/ada");
    // Once it is known what they are called now, they are in.
    let healed = heal(github.as_ref(), &config, &of(["ada-lovelace", "bob"])).await;
    assert_eq!(
        healed,
        [
            "members/ada-lovelace: - -> member",
            "members/bob: - -> member",
            "members/ada: member -> -",
        ]
    );
    // A login that is configured is somebody's word.
    let said = json!({ "org": "acme", "url": url, "logins": { "hub:7": "ada" } });
    let found = look(github.as_ref(), &said, &wanted).await.unwrap();
    assert_eq!(found.obstacles, Vec::<String>::new());
}

/// The platform learns of a new login when its person logs in again.
#[tokio::test]
async fn whoever_is_called_otherwise_by_now_is_who_they_were() {
    let (url, org) = github().await;
    let github = tool("github");
    let config = json!({ "org": "acme", "url": url });
    {
        let mut org = org.lock().unwrap();
        org.teams.insert("payments".into());
        org.people = ["ada".into(), "ada-lovelace".into()].into();
        org.ids = [("ada".into(), 99), ("ada-lovelace".into(), 7)].into();
        org.members = [("ada-lovelace".into(), "member".into())].into();
    }
    let mut wanted = team(&["ada"]);
    wanted.members[0].subject = "hub:7".into();
    let found = look(github.as_ref(), &config, &wanted).await.unwrap();
    assert_eq!(found.repairs, []);
    assert_eq!(found.obstacles, Vec::<String>::new());
    assert_eq!(found.accounts["hub:7"], "ada-lovelace");
    // What they should be, they become.
    wanted.members[0].lead = true;
    let healed = heal(github.as_ref(), &config, &wanted).await;
    assert_eq!(healed, ["members/ada-lovelace: member -> maintainer"]);
    // Having left, it is they who are taken out, and nobody who has their former login.
    org.lock()
        .unwrap()
        .members
        .insert("ada".into(), "member".into());
    let mut without = seen(&[], &["ada"]);
    without.left[0].subject = "hub:7".into();
    let healed = heal(github.as_ref(), &config, &without).await;
    assert_eq!(healed, ["members/ada-lovelace: member -> -"]);
    assert!(org.lock().unwrap().members.contains_key("ada"));
}
