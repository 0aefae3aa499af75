//! What it costs to ask GitHub, and what it says of somebody each time.

use axum::http::StatusCode;
use futures::future::join_all;
use identity::service::UpstreamMembers;
use jiff::Timestamp;
use kernel::ErrorKind;
use serde_json::json;

use crate::{
    directory::{give, is_in},
    servers::{DIRECTORY_TOKEN, GitHub},
    support::{Browser, Site, claims, text},
    upstream::{device, github, github_login},
};

/// Teams at GitHub, each with one member.
fn teams(github: &GitHub, number: u64) {
    let team = |id: u64| {
        let member = (id + 100_000, format!("person-{id}"));
        (id, format!("team-{id}"), vec![member])
    };
    let mut organization = github.organization.lock().unwrap();
    organization.page = Some(100);
    organization.teams = (0..number).map(team).collect();
}

fn requests(github: &GitHub) -> usize {
    github.organization.lock().unwrap().requests
}

/// As a tick looks at a team: at what its group is called, at who has left it, at who is to be in other tools, and at
/// who is new.
async fn tick(site: &Site, team: u64) {
    let (name, id) = (format!("epetech/team-{team}"), team.to_string());
    let identity = &site.identity;
    let found = identity
        .upstream_group("github", &name, Some(&id), None)
        .await;
    assert_eq!(found.unwrap().unwrap().name, name);
    for _ in 0..3 {
        let found = identity
            .upstream_members("github", &name, Some(&id), None)
            .await;
        let UpstreamMembers::Listed { members, .. } = found.unwrap() else {
            panic!("it is listed")
        };
        assert_eq!(members.len(), 1);
    }
}

#[tokio::test]
async fn all_teams_cost_the_list_of_teams_and_who_is_in_each() {
    let (site, github) = github().await;
    teams(&github, 1000);
    give(&site, &github, DIRECTORY_TOKEN).await;
    // One after the other, and all at once: the second time, what was answered the first time is old.
    for at_once in [1, 40] {
        let before = requests(&github);
        for first in (0..40).step_by(at_once) {
            let some = first..first + at_once as u64;
            join_all(some.map(|team| tick(&site, team))).await;
        }
        let asked = requests(&github) - before;
        assert!(asked <= 10 + 40, "{asked} for {at_once} at once");
        site.advance(30);
    }
}

#[tokio::test]
async fn a_team_that_was_made_since_is_found_at_once() {
    let (site, github) = github().await;
    teams(&github, 200);
    give(&site, &github, DIRECTORY_TOKEN).await;
    tick(&site, 7).await;
    teams(&github, 201);
    let by_name = site
        .identity
        .upstream_group("github", "epetech/team-200", None, None);
    assert_eq!(by_name.await.unwrap().unwrap().id, "200");
    tick(&site, 200).await;
}

#[tokio::test]
async fn what_was_listed_before_does_not_count_where_that_is_wanted() {
    let (site, github) = github().await;
    teams(&github, 3);
    give(&site, &github, DIRECTORY_TOKEN).await;
    let identity = &site.identity;
    let members = move |since: Option<Timestamp>| async move {
        let asked = identity.upstream_members("github", "epetech/team-0", Some("0"), since);
        let UpstreamMembers::Listed { members, .. } = asked.await.unwrap() else {
            panic!("it is listed")
        };
        members.len()
    };
    assert_eq!(members(None).await, 1);
    github.organization.lock().unwrap().teams[0].2.clear();
    site.advance(1);
    let since = site.clock.now();
    site.advance(1);
    // For whoever merely looks it will do.
    assert_eq!(members(None).await, 1);
    let before = requests(&github);
    let found = join_all((0..10).map(|_| members(Some(since)))).await;
    assert_eq!(found, [0; 10]);
    assert_eq!(members(None).await, 0);
    // All of them share what was listed since: the teams, and who is in the one.
    assert_eq!(requests(&github) - before, 2);
}

#[tokio::test]
async fn a_reached_limit_is_told_to_one_question_and_heeded_by_all() {
    for status in [StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS] {
        let (site, github) = github().await;
        teams(&github, 3);
        give(&site, &github, DIRECTORY_TOKEN).await;
        let limited = Some((status, Some("3600")));
        github.organization.lock().unwrap().limited = limited;
        for id in ["0", "1", "2"] {
            let name = format!("epetech/team-{id}");
            for id in [None, Some(id)] {
                let asked = site.identity.upstream_members("github", &name, id, None);
                let error = asked.await.unwrap_err();
                assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
                assert!(error.message.contains("limit of requests"), "{error:?}");
            }
        }
        assert_eq!(requests(&github), 1, "{status}");
        // It is that token's limit, and no other's.
        give(&site, &github, "ghp_another").await;
        let asked = site
            .identity
            .upstream_members("github", "epetech/team-0", None, None);
        let error = asked.await.unwrap_err();
        assert!(error.message.contains("does not take"), "{error:?}");
    }
}

#[tokio::test]
async fn while_github_does_not_answer_one_question_waits_for_it() {
    let (site, github) = github().await;
    teams(&github, 40);
    give(&site, &github, DIRECTORY_TOKEN).await;
    let limit = |limited| github.organization.lock().unwrap().limited = limited;
    limit(Some((StatusCode::BAD_GATEWAY, None)));
    let identity = &site.identity;
    let ask = move |team: u64| async move {
        let (name, id) = (format!("epetech/team-{team}"), team.to_string());
        let asked = identity.upstream_members("github", &name, Some(&id), None);
        asked.await.map(drop)
    };
    let asked = join_all((0..40).map(ask)).await;
    assert!(asked.iter().all(Result::is_err));
    assert_eq!(requests(&github), 1);
    // It answers again, and is asked a moment later.
    limit(None);
    site.advance(5);
    ask(0).await.unwrap();
}

#[tokio::test]
async fn what_somebody_is_called_is_asked_with_their_groups() {
    let (site, github) = github().await;
    is_in(&github, &[("pay", 42)]);
    let login = async || {
        let browser = Browser::new(&site);
        github_login(&site, &browser, "a-code").await.location();
        device(&site, &browser).await.ok().json()
    };
    // In two places, of which one is used.
    let (tokens, _other) = (login().await, login().await);
    github.person.lock().unwrap().renamed = Some("mona".into());
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    let says = claims(text(&tokens, "id_token"));
    assert_eq!(says["preferred_username"], json!("mona"));
    let found = site
        .identity
        .upstream_members("github", "epetech/pay", None, None);
    let UpstreamMembers::Seen { members, .. } = found.await.unwrap() else {
        panic!("nobody has given a directory token")
    };
    let names: Vec<_> = members.values().map(|whom| whom.name.as_str()).collect();
    assert_eq!(names, ["mona"]);
    let subject = members.keys().next().unwrap().as_str();
    for (who, group, said) in [
        (subject, "epetech/pay", Some(true)),
        (subject, "epetech/elsewhere", Some(false)),
        ("github:0", "epetech/pay", None),
    ] {
        let last = site.identity.upstream_last_said(who, group, None);
        assert_eq!(last.await.unwrap(), said, "{who} in {group}");
    }
}
