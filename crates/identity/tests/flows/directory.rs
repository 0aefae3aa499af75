//! Who is in a group of an upstream: as those tell who are logged in, and as the upstream lists it.

use axum::http::StatusCode;
use identity::service::{UpstreamGroup, UpstreamMembers};
use kernel::{Caller, Change, EventFilter, Transient};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    servers::{DIRECTORY_TOKEN, GitHub},
    support::{Browser, Site, claims, settings, text},
    upstream::{connect, device, downstream, github, github_login, provider},
};

const OCTOCAT: &str = "github:583231";

/// What the one person who logs in is in: a team with this slug and id.
pub(crate) fn is_in(github: &GitHub, teams: &[(&str, u64)]) {
    let mut person = github.person.lock().unwrap();
    person.teams = teams
        .iter()
        .map(|(slug, _)| ("epetech", (*slug).to_owned()))
        .collect();
    person.ids = teams
        .iter()
        .map(|(slug, id)| ((*slug).to_owned(), *id))
        .collect();
}

fn ids(tokens: &Value) -> Value {
    claims(text(tokens, "access_token"))["https://towpath.dev/group-ids"].clone()
}

async fn seen(site: &Site, name: &str, id: Option<&str>) -> Vec<String> {
    let members = site
        .identity
        .upstream_members("github", name, id, None)
        .await;
    let UpstreamMembers::Seen { members, left, .. } = members.unwrap() else {
        panic!("nobody has given a directory token")
    };
    assert!(left.keys().all(|subject| !members.contains_key(subject)));
    members.into_keys().collect()
}

/// Those of whom GitHub has said that they are in a group no longer.
async fn left(site: &Site, name: &str, id: Option<&str>) -> Vec<String> {
    let members = site
        .identity
        .upstream_members("github", name, id, None)
        .await;
    let UpstreamMembers::Seen { left, .. } = members.unwrap() else {
        panic!("nobody has given a directory token")
    };
    left.into_keys().collect()
}

fn group(id: &str, name: &str) -> Option<UpstreamGroup> {
    Some(UpstreamGroup {
        id: id.into(),
        name: name.into(),
    })
}

#[tokio::test]
async fn a_team_is_known_by_its_id_on_every_replica() {
    let (site, github) = github().await;
    is_in(&github, &[("pay", 42)]);
    let mut replicas = settings();
    replicas.allow_private_upstreams = true;
    let replica = Site::on(site.store.clone(), replicas.clone(), site.clock.clone()).await;
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    let tokens = device(&site, &browser).await.ok().json();
    assert_eq!(ids(&tokens), json!({ "epetech/pay": "42" }));
    let id_token = claims(text(&tokens, "id_token"));
    assert_eq!(id_token["https://towpath.dev/group-ids"], Value::Null);
    for site in [&site, &replica] {
        assert_eq!(seen(site, "epetech/pay", None).await, [OCTOCAT]);
        let found = site
            .identity
            .upstream_group("github", "epetech/pay", None, None);
        assert_eq!(found.await.unwrap(), group("42", "epetech/pay"));
    }

    // Renamed; the next refresh tells, on one replica.
    is_in(&github, &[("money", 42)]);
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    assert_eq!(ids(&tokens), json!({ "epetech/money": "42" }));
    let late = Site::on(site.store.clone(), replicas, site.clock.clone()).await;
    for site in [&site, &replica, &late] {
        let found = site
            .identity
            .upstream_group("github", "epetech/pay", Some("42"), None);
        assert_eq!(found.await.unwrap(), group("42", "epetech/money"));
        assert_eq!(seen(site, "epetech/pay", Some("42")).await, [OCTOCAT]);
        assert!(seen(site, "epetech/pay", None).await.is_empty());
    }
    // Out of the team, and out of the session.
    is_in(&github, &[]);
    let tokens = replica
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    assert!(seen(&site, "epetech/money", Some("42")).await.is_empty());
    is_in(&github, &[("money", 42)]);
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    assert_eq!(seen(&replica, "epetech/money", Some("42")).await, [OCTOCAT]);
    // What is used is not over when it would have been.
    site.advance(36 * 3600);
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    site.advance(36 * 3600);
    assert_eq!(seen(&replica, "epetech/money", None).await, [OCTOCAT]);
    let fields = [
        ("client_id", "towpath-cli"),
        ("token", text(&tokens, "refresh_token")),
    ];
    site.post("/oauth/revoke", &fields).await.ok();
    assert!(seen(&replica, "epetech/money", None).await.is_empty());
}

/// A session as the store has it, whatever it means.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Raw(Value);

impl Transient for Raw {
    const KIND: &'static str = "session";
}

#[tokio::test]
async fn no_session_is_opened_to_say_who_is_in_a_group() {
    let (site, github) = github().await;
    is_in(&github, &[("pay", 42)]);
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    device(&site, &browser).await.ok();
    // What has happened is read once.
    assert_eq!(seen(&site, "epetech/pay", None).await, [OCTOCAT]);
    // Written behind its back: who reads it would see somebody in no group.
    let mut session = site.store.records::<Raw>("").await.unwrap().remove(0);
    session.value.0["login"]["groups"] = json!([]);
    session.value.0["login"]["group_ids"] = json!({});
    let mut change = Change::new();
    change.keep(&session).unwrap();
    site.store.commit(change).await.unwrap();
    for id in [None, Some("42")] {
        assert_eq!(seen(&site, "epetech/pay", id).await, [OCTOCAT]);
    }
    let mut settings = settings();
    settings.allow_private_upstreams = true;
    let late = Site::on(site.store.clone(), settings, site.clock.clone()).await;
    assert!(seen(&late, "epetech/pay", None).await.is_empty());
}

/// Gives the upstream this token, or takes it away.
pub(crate) async fn give(site: &Site, github: &GitHub, token: &str) {
    let body = json!({
        "spec": {
            "title": "GitHub", "clientId": "Ov23liAbc",
            "provider": {
                "type": "github", "org": "epetech", "url": github.url,
                "apiUrl": format!("{}/api", github.url),
            },
        },
        "directoryToken": token,
    });
    let path = "/v1/identity/upstreams/github";
    let answer = site.admin("PUT", path, body).await.ok();
    assert!(!answer.body.contains("ghp_"), "{}", answer.body);
}

#[tokio::test]
async fn github_lists_a_team_to_the_organizations_token() {
    let (site, github) = github().await;
    let people = |ids: std::ops::Range<u64>| ids.map(|id| (id, format!("person-{id}"))).collect();
    github.organization.lock().unwrap().teams = vec![
        (1, "a".into(), vec![]),
        (2, "b".into(), vec![]),
        (3, "c".into(), vec![]),
        (42, "pay".into(), people(0..7)),
    ];
    assert!(seen(&site, "epetech/pay", None).await.is_empty());
    give(&site, &github, DIRECTORY_TOKEN).await;
    let members = async |name: &str, id| {
        let members = site
            .identity
            .upstream_members("github", name, id, None)
            .await;
        members.map(|members| match members {
            UpstreamMembers::Listed { members, .. } => Some(members),
            UpstreamMembers::Missing => None,
            UpstreamMembers::Seen { .. } => panic!("it can be asked"),
        })
    };
    let listed = members("epetech/pay", None).await.unwrap().unwrap();
    assert_eq!(listed.len(), 7, "over all pages");
    assert_eq!(listed["github:6"].name, "person-6");
    // Three pages of members. In the same look it is answered the same; later nothing is sent again.
    let answered = || github.organization.lock().unwrap().answered;
    assert_eq!(answered(), (3, 0));
    assert_eq!(members("epetech/pay", None).await.unwrap().unwrap(), listed);
    assert_eq!(answered(), (3, 0));
    site.advance(5);
    let by_id = members("epetech/pay", Some("42")).await.unwrap().unwrap();
    assert_eq!(by_id, listed);
    // By its id it is found in two pages of teams, which serve all others.
    assert_eq!(answered(), (5, 3));

    // Renamed, with one more; and another under the old name.
    let mut teams = github.organization.lock().unwrap().teams.clone();
    teams[3] = (42, "money".into(), people(0..8));
    teams.push((43, "pay".into(), people(90..91)));
    github.organization.lock().unwrap().teams = teams;
    site.advance(30);
    let found = site
        .identity
        .upstream_group("github", "epetech/pay", Some("42"), None);
    assert_eq!(found.await.unwrap(), group("42", "epetech/money"));
    assert_eq!(
        members("epetech/pay", Some("42"))
            .await
            .unwrap()
            .unwrap()
            .len(),
        8
    );
    assert_eq!(
        members("epetech/pay", None).await.unwrap().unwrap().len(),
        1
    );
    for (name, id) in [
        ("epetech/gone", None),
        ("epetech/pay", Some("44")),
        ("other/pay", None),
    ] {
        assert_eq!(members(name, id).await.unwrap(), None, "{name}");
    }

    // That it cannot be asked says nothing of who is in it.
    github.down.set(true);
    assert!(members("epetech/pay", None).await.is_err());
    github.down.set(false);
    give(&site, &github, "ghp_another").await;
    let refused = members("epetech/pay", None).await.unwrap_err();
    assert!(refused.message.contains("directory token"), "{refused}");
    give(&site, &github, "").await;
    assert!(seen(&site, "epetech/pay", None).await.is_empty());
}

#[tokio::test]
async fn who_has_left_a_listed_team_is_out_of_it_at_the_next_look() {
    let (site, github) = github().await;
    is_in(&github, &[("pay", 42), ("ops", 43)]);
    let octocat = || vec![(583_231, "octocat".to_owned())];
    let list = |teams: &[(u64, &str, bool)]| {
        let team = |(id, slug, is_in): &(u64, &str, bool)| {
            let members = if *is_in { octocat() } else { vec![] };
            (*id, (*slug).to_owned(), members)
        };
        github.organization.lock().unwrap().teams = teams.iter().map(team).collect();
    };
    list(&[(42, "pay", true), (43, "ops", true)]);
    give(&site, &github, DIRECTORY_TOKEN).await;
    let mut replicas = settings();
    replicas.allow_private_upstreams = true;
    let replica = Site::on(site.store.clone(), replicas, site.clock.clone()).await;
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    let tokens = device(&site, &browser).await.ok().json();
    site.advance(1);
    let access = text(&tokens, "access_token");
    let both = json!(["epetech/ops", "epetech/pay"]);
    let groups =
        async |site: &Site, token: &str| site.whoami(token).await.ok().json()["groups"].clone();
    assert_eq!(groups(&site, access).await, both);
    // As the sync of teams looks.
    let teams = Caller::system("teams", uuid::Uuid::now_v7());
    let look = async || {
        let group = ("epetech/pay", Some("42"));
        let found = site
            .identity
            .upstream_members("github", group.0, group.1, None);
        let UpstreamMembers::Listed { members, asked } = found.await? else {
            return Ok(0);
        };
        let identity = &site.identity;
        identity
            .upstream_members_end(&teams, "github", group, asked, &members)
            .await
    };
    assert_eq!(look().await.unwrap(), 0);
    // That GitHub cannot be asked, or shows no such team, takes nobody out.
    list(&[(42, "pay", false), (43, "ops", true)]);
    // What it said a moment ago is said again until then.
    site.advance(30);
    github.down.set(true);
    look().await.unwrap_err();
    github.down.set(false);
    site.advance(5);
    list(&[(43, "ops", true)]);
    assert_eq!(look().await.unwrap(), 0);
    assert_eq!(groups(&site, access).await, both);

    list(&[(42, "pay", false), (43, "ops", true)]);
    assert_eq!(look().await.unwrap(), 1);
    for site in [&site, &replica] {
        assert_eq!(groups(site, access).await, json!(["epetech/ops"]));
    }
    assert_eq!(look().await.unwrap(), 0, "it is told once");
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.member.withdrawn".into()),
        ..EventFilter::default()
    };
    let told = site.store.events(&filter, 0, 10).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].actor.as_str(), &told[0].data["subject"]),
        ("system:teams", &json!(OCTOCAT))
    );
    // Whoever comes back is in it with their next token, and by those from before then.
    list(&[(42, "pay", true), (43, "ops", true)]);
    site.advance(5);
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    for token in [text(&tokens, "access_token"), access] {
        assert_eq!(groups(&site, token).await, both);
    }
    site.advance(1);
    assert_eq!(look().await.unwrap(), 0);
}

#[tokio::test]
async fn an_openid_provider_takes_no_directory_token() {
    let (site, (upstream, _, _directory)) = (downstream().await, provider().await);
    connect(&site, &upstream).await;
    let body = json!({
        "spec": {
            "title": "Corp", "clientId": "towpath",
            "provider": { "type": "oidc", "issuer": upstream.identity.settings().issuer },
        },
        "directoryToken": "a-token",
    });
    let refused = site.admin("PUT", "/v1/identity/upstreams/corp", body).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn who_has_left_a_team_is_told_apart_from_who_is_not_logged_in() {
    let (site, github) = github().await;
    let mut replicas = settings();
    replicas.allow_private_upstreams = true;
    let replica = Site::on(site.store.clone(), replicas.clone(), site.clock.clone()).await;
    is_in(&github, &[("pay", 42), ("web", 7)]);
    let log_in = async || {
        let browser = Browser::new(&site);
        github_login(&site, &browser, "a-code").await.location();
        device(&site, &browser).await.ok().json()
    };
    let tokens = log_in().await;
    let pay = Some("42");
    assert!(left(&site, "epetech/pay", pay).await.is_empty());

    // Logged out, and over: nobody knows anything.
    let fields = [
        ("client_id", "towpath-cli"),
        ("token", text(&tokens, "refresh_token")),
    ];
    site.post("/oauth/revoke", &fields).await.ok();
    assert!(seen(&site, "epetech/pay", pay).await.is_empty());
    assert!(left(&site, "epetech/pay", pay).await.is_empty());

    // Back, and in one team less: that was not told while they were away.
    is_in(&github, &[("web", 7)]);
    let tokens = log_in().await;
    let late = Site::on(site.store.clone(), replicas, site.clock.clone()).await;
    for site in [&site, &replica, &late] {
        assert_eq!(left(site, "epetech/pay", pay).await, [OCTOCAT]);
        assert_eq!(seen(site, "epetech/web", Some("7")).await, [OCTOCAT]);
        assert!(left(site, "epetech/web", Some("7")).await.is_empty());
    }
    // In again, as a refresh tells.
    is_in(&github, &[("pay", 42), ("web", 7)]);
    site.refresh(text(&tokens, "refresh_token")).await.ok();
    assert_eq!(seen(&replica, "epetech/pay", pay).await, [OCTOCAT]);
    assert!(left(&replica, "epetech/pay", pay).await.is_empty());
}

#[tokio::test]
async fn who_is_refused_and_does_not_return_has_left() {
    let (site, github) = github().await;
    is_in(&github, &[("pay", 42)]);
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    let tokens = device(&site, &browser).await.ok().json();
    github.person.lock().unwrap().revoked = true;
    let refused = site.refresh(text(&tokens, "refresh_token")).await;
    assert_eq!(refused.error(), "invalid_grant");
    // That may be no more than a token of GitHub's that has ended.
    assert!(seen(&site, "epetech/pay", None).await.is_empty());
    assert!(left(&site, "epetech/pay", None).await.is_empty());
    site.advance(24 * 3600);
    assert_eq!(left(&site, "epetech/pay", None).await, [OCTOCAT]);
    github.person.lock().unwrap().revoked = false;
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    device(&site, &browser).await.ok();
    assert!(left(&site, "epetech/pay", None).await.is_empty());
    assert_eq!(seen(&site, "epetech/pay", None).await, [OCTOCAT]);
}

#[tokio::test]
async fn what_is_learnt_of_somebody_is_told_once_and_names_nobody() {
    let (site, github) = github().await;
    is_in(&github, &[("pay", 42)]);
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    let tokens = device(&site, &browser).await.ok().json();
    let told = async || {
        let filter = kernel::EventFilter {
            type_prefix: Some("dev.towpath.person.changed".into()),
            ..kernel::EventFilter::default()
        };
        site.store.events(&filter, 0, 10).await.unwrap()
    };
    let first = told().await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].data, json!({}));
    let key = first[0].subject_key().unwrap();
    assert_eq!(key.kind, identity::PERSON);
    // The same again is no news.
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    assert_eq!(told().await.len(), 1);
    is_in(&github, &[("web", 7)]);
    site.refresh(text(&tokens, "refresh_token")).await.ok();
    assert_eq!(told().await.len(), 2);
    let groups = site.identity.person_groups(&key.name).await.unwrap();
    let groups = groups.unwrap();
    assert_eq!(groups.source, "github");
    // Those that they have left too: these teams are concerned as well.
    assert_eq!(groups.names, ["epetech/pay", "epetech/web"]);
    assert_eq!(groups.ids["epetech/pay"], "42");
}

#[tokio::test]
async fn whoever_leaves_and_does_nothing_is_asked_for_while_their_login_lasts() {
    let (site, github) = github().await;
    is_in(&github, &[("pay", 42), ("web", 7)]);
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    let tokens = device(&site, &browser).await.ok().json();
    let stop = tokio_util::sync::CancellationToken::new();
    let ask = async || site.identity.people_ask(None, &stop).await.unwrap();
    is_in(&github, &[("web", 7)]);
    // They were asked for a moment ago.
    ask().await;
    assert_eq!(seen(&site, "epetech/pay", None).await, [OCTOCAT]);
    site.advance(3600);
    github.down.set(true);
    ask().await;
    assert_eq!(seen(&site, "epetech/pay", None).await, [OCTOCAT]);
    github.down.set(false);
    ask().await;
    assert!(seen(&site, "epetech/pay", None).await.is_empty());
    assert_eq!(left(&site, "epetech/pay", None).await, [OCTOCAT]);
    assert_eq!(seen(&site, "epetech/web", None).await, [OCTOCAT]);
    // Their login goes on as it was, and ends when GitHub does not know them any more.
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    github.person.lock().unwrap().revoked = true;
    site.advance(3600);
    ask().await;
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
    site.advance(24 * 3600);
    assert_eq!(left(&site, "epetech/web", None).await, [OCTOCAT]);
}
