//! Jira: a project for each team, and who has which role in it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kernel::{Outbound, Problem, Result, Secret, outbound::Limits};
use serde::Deserialize;
use serde_json::{Value, json};
use teams::tool::{Call, Found, Home, Place, Presence, Repair, Tool, Wanted, WantedMember};

use crate::api::{Api, below, check, config};

/// A project's key at the longest, as Jira has it.
const LONGEST_KEY: usize = 10;

/// Keeps projects and their roles at Jira in step.
pub struct Jira {
    outbound: Outbound,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// The site: `https://acme.atlassian.net`.
    url: String,
    /// Whose API token the credential is, by address.
    user: String,
    /// The account that leads projects that are made here.
    lead: String,
    /// Keys of projects, by team; else the team's name in capitals, as far as a key goes.
    #[serde(default)]
    projects: BTreeMap<String, String>,
    /// Accounts of those whom Jira does not know by their address here, by subject, or by a name that is
    /// nobody else's.
    #[serde(default)]
    accounts: BTreeMap<String, String>,
    /// The role of everybody in the team; `Developers` where nothing is said.
    #[serde(default = "Config::developers")]
    members: String,
    /// The role of those who lead it beside that, if any.
    #[serde(default)]
    leads: Option<String>,
    /// Teams whose project may be there already.
    #[serde(default)]
    adopt: BTreeSet<String>,
}

impl Config {
    fn developers() -> String {
        "Developers".into()
    }

    fn at(&self, segments: &[&str]) -> Result<String> {
        let all: Vec<&str> = ["rest", "api", "3"]
            .iter()
            .chain(segments)
            .copied()
            .collect();
        below(&self.url, &all).map(Into::into)
    }

    fn key(&self, team: &str) -> String {
        let own = || {
            let letters = team.chars().filter(char::is_ascii_alphanumeric);
            let key: String = letters.take(LONGEST_KEY).collect();
            key.to_uppercase()
        };
        self.projects.get(team).cloned().unwrap_or_else(own)
    }
}

#[derive(Deserialize)]
struct Role {
    #[serde(default)]
    actors: Vec<Actor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Actor {
    /// None for a group: what others have given it stays.
    actor_user: Option<ActorUser>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActorUser {
    account_id: String,
}

/// Somebody whom a search has found.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    account_id: String,
    /// `atlassian` of people; others of apps, and of a service desk's customers.
    #[serde(default)]
    account_type: String,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    display_name: String,
    /// None, or nothing, where they hide it.
    #[serde(default)]
    email_address: Option<String>,
}

impl Jira {
    /// Speaks by `outbound`, within `limits`.
    pub(crate) fn new(outbound: Outbound, limits: Limits) -> Self {
        Self { outbound, limits }
    }

    fn api(&self, config: &Config, credential: Option<&Secret>) -> Result<Api<'_>> {
        let mut headers = vec![("accept".into(), "application/json".into())];
        if let Some(token) = credential.map(Secret::text).transpose()? {
            let basic = STANDARD.encode(format!("{}:{token}", config.user));
            headers.push(("authorization".into(), format!("Basic {basic}")));
        }
        Ok(Api {
            outbound: &self.outbound,
            limits: &self.limits,
            kept: None,
            who: "Jira",
            headers,
        })
    }
}

#[async_trait]
impl Tool for Jira {
    fn kind(&self) -> &'static str {
        "jira"
    }

    fn check(&self, config: &Value) -> Vec<Problem> {
        check::<Config>(&self.outbound, config, |config| config.url.clone())
    }

    fn home(&self, value: &Value, team: &str) -> Result<Option<Home>> {
        let config: Config = config(value)?;
        let key = config.key(team);
        Ok(Some(Home {
            at: config.at(&["project", &key])?,
            what: format!("the project `{key}`"),
            adopted: config.adopt.contains(team),
            remedy: "give this team another key in `projects` of the integration's configuration",
        }))
    }

    async fn look(&self, place: Place<'_>, wanted: &Wanted) -> Result<Found> {
        let config: Config = config(place.config)?;
        let api = self.api(&config, place.credential)?;
        let mut found = Found::default();
        let key = config.key(&wanted.name);
        let project = config.at(&["project", &key])?;
        if api.read::<Value>(&project).await?.is_none() {
            found.presence = Presence::Absent;
            found.repairs.push(Repair {
                what: format!("projects/{key}"),
                found: None,
                wanted: Some(wanted.name.clone()),
                call: Call {
                    method: "POST",
                    url: config.at(&["project"])?,
                    body: Some(json!({
                        "key": key,
                        "name": wanted.name,
                        "description": wanted.description,
                        "projectTypeKey": "software",
                        "assigneeType": "UNASSIGNED",
                        "leadAccountId": config.lead,
                    })),
                },
            });
            return Ok(found);
        }
        if !place.ours {
            found.presence = Presence::Foreign;
            return Ok(found);
        }
        let roles = config.at(&["project", &key, "role"])?;
        let roles = api.read::<BTreeMap<String, String>>(&roles).await?;
        let roles = api.there(roles, "roles of the project")?;
        for member in wanted.members.iter().chain(&wanted.left) {
            let account = account_of(&api, &config, wanted, member, place.accounts).await?;
            if let Some(account) = account {
                found.accounts.insert(member.subject.clone(), account);
            } else if wanted.members.contains(member) {
                found.obstacles.push(format!(
                    "{} has no account at Jira that can be told: {}, or name it in `config.accounts`",
                    wanted.called(member),
                    match &member.email {
                        Some(_) => "have Jira know their address",
                        None => "have their source tell their address",
                    }
                ));
            }
        }
        let everybody: Vec<&WantedMember> = wanted.members.iter().collect();
        let leads: Vec<&WantedMember> = wanted.members.iter().filter(|m| m.lead).collect();
        let wants = [
            Some((&config.members, everybody)),
            config.leads.as_ref().map(|role| (role, leads)),
        ];
        for (role, members) in wants.into_iter().flatten() {
            let id = roles.get(role).and_then(|url| url.rsplit('/').next());
            let Some(id) = id else {
                let message = format!("Jira has no role `{role}`: make it, or name another");
                found.obstacles.push(message);
                continue;
            };
            // By its number, and not at the address that Jira names: the credential stays here.
            let at = config.at(&["project", &key, "role", id])?;
            let role = format!("projects/{key}/roles/{role}");
            actors(&api, &at, &role, &members, wanted, &mut found).await?;
        }
        Ok(found)
    }

    async fn mend(&self, place: Place<'_>, call: &Call) -> Result<()> {
        let config: Config = config(place.config)?;
        self.api(&config, place.credential)?.call(call).await
    }
}

/// The account of one of a team's people: as it is said here, or as it was found before, or as Jira finds it
/// by their address.
async fn account_of(
    api: &Api<'_>,
    config: &Config,
    wanted: &Wanted,
    member: &WantedMember,
    known: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    let said = wanted.said_of(&config.accounts, member);
    if let Some(account) = said.or_else(|| known.get(&member.subject)) {
        return Ok(Some(account.clone()));
    }
    let Some(email) = &member.email else {
        return Ok(None);
    };
    let mut url = below(&config.at(&["user", "search"])?, &[])?;
    url.query_pairs_mut().append_pair("query", email);
    let users = api.read::<Vec<User>>(url.as_str()).await?;
    Ok(of_address(api.there(users, "users")?, email))
}

/// The one account with this address. The search is for beginnings of names and of addresses, and who hides
/// their address is found by it and has none: that is theirs where nothing else could have been found by it.
fn of_address(users: Vec<User>, email: &str) -> Option<String> {
    let email = email.to_lowercase();
    let people = users
        .into_iter()
        .filter(|user| user.active && user.account_type == "atlassian");
    let (mut exact, mut hidden) = (Vec::new(), Vec::new());
    for user in people {
        match user.email_address.as_deref().filter(|at| !at.is_empty()) {
            Some(address) if address.to_lowercase() == email => exact.push(user.account_id),
            Some(_) => {}
            None if user.display_name.to_lowercase().contains(&email) => return None,
            None => hidden.push(user.account_id),
        }
    }
    let mut candidates = if exact.is_empty() { hidden } else { exact };
    let only = candidates.pop();
    only.filter(|_| candidates.is_empty())
}

/// Compares who has one role with who should.
async fn actors(
    api: &Api<'_>,
    at: &str,
    role: &str,
    members: &[&WantedMember],
    wanted: &Wanted,
    found: &mut Found,
) -> Result<()> {
    let is = api.read::<Role>(at).await?;
    let is = api.there(is, &format!("{role}, which it lists"))?;
    let users = is.actors.into_iter().filter_map(|actor| actor.actor_user);
    let present: BTreeSet<String> = users.map(|user| user.account_id).collect();
    let accounts = |of: &[&WantedMember]| -> BTreeSet<String> {
        of.iter()
            .filter_map(|member| found.accounts.get(&member.subject).cloned())
            .collect()
    };
    let expected = accounts(members);
    let left = accounts(&wanted.left.iter().collect::<Vec<_>>());
    for account in expected.difference(&present) {
        found.repairs.push(Repair {
            what: format!("{role}/{account}"),
            found: None,
            wanted: Some("present".into()),
            call: Call {
                method: "POST",
                url: at.to_owned(),
                body: Some(json!({ "user": [account] })),
            },
        });
    }
    // Who leads no longer, and is still in the team, is out of the leads' role.
    let stay = accounts(&wanted.members.iter().collect::<Vec<_>>());
    let is_out = |one: &&String| wanted.complete || left.contains(*one) || stay.contains(*one);
    for account in present.difference(&expected).filter(is_out) {
        let mut url = below(at, &[])?;
        url.query_pairs_mut().append_pair("user", account);
        found.repairs.push(Repair {
            what: format!("{role}/{account}"),
            found: Some("present".into()),
            wanted: None,
            call: Call {
                method: "DELETE",
                url: url.into(),
                body: None,
            },
        });
    }
    Ok(())
}
